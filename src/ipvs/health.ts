/**
 * Health-check node ports: what a load balancer asks each node to learn whether a Service of policy Local has an endpoint there.
 * Body and status are kube-proxy's (pkg/proxy/healthcheck): 200 while a local endpoint takes traffic, else 503. One HTTP
 * server a port, opened and closed as Services come and go; a port that cannot be opened is an issue, not an end.
 */
import type { Server } from 'node:http';
import type { Issue } from '../net/values.ts';
import type { HealthPort } from './compile/service.ts';

/** Options of {@link createHealthPorts}. */
export interface HealthPortsOptions {
  /** Address to listen on. @defaultValue every address */
  readonly host?: string;
  /** Whether the proxy itself works; kube-proxy's body says it. @defaultValue yes */
  readonly healthy?: () => boolean;
}

/** Running health-check node ports. */
export interface HealthPorts extends AsyncDisposable {
  /** Takes the full set. Resolves when every port is open, closed or failed. */
  update(ports: Iterable<HealthPort>): Promise<void>;
  /** Ports that could not be opened. */
  issues(): Issue[];
  /** Closes every port. */
  close(): Promise<void>;
}

/** Body that kube-proxy would answer. */
export function healthBody(port: HealthPort, healthy: boolean): string {
  const service = { namespace: port.namespace, name: port.name };
  const body = { service, localEndpoints: port.localEndpoints, serviceProxyHealthy: healthy };
  return JSON.stringify(body, null, '\t');
}

/** Makes {@link HealthPorts}. */
export function createHealthPorts(options: HealthPortsOptions = {}): HealthPorts {
  const healthy = options.healthy ?? (() => true);
  const current = new Map<number, HealthPort>();
  const servers = new Map<number, Server>();
  const failed = new Map<number, Issue>();

  const open = (port: number): Promise<void> =>
    new Promise((resolve) => {
      // an import of node:http makes Node load its WebSocket as well, for every user of this package
      const server = process.getBuiltinModule('node:http').createServer((_request, response) => {
        const now = current.get(port);
        if (now === undefined) {
          response.writeHead(503).end();
          return;
        }
        const up = healthy();
        response.writeHead(now.localEndpoints > 0 && up ? 200 : 503, {
          'Content-Type': 'application/json',
          'X-Content-Type-Options': 'nosniff',
          'X-Load-Balancing-Endpoint-Weight': String(now.localEndpoints),
        });
        response.end(healthBody(now, up));
      });
      server.keepAliveTimeout = 1000;
      server.once('error', (error) => {
        const owner = current.get(port);
        const object = `Service ${owner?.namespace ?? ''}/${owner?.name ?? ''}`;
        const reason = `port ${port} cannot be opened (${error.message}); load balancers will take this node for down`;
        failed.set(port, { object, field: 'spec.healthCheckNodePort', reason });
        servers.delete(port);
        resolve();
      });
      servers.set(port, server);
      server.listen({ port, ...(options.host === undefined ? {} : { host: options.host }) }, () => {
        failed.delete(port);
        resolve();
      });
    });
  const shut = (port: number): Promise<void> =>
    new Promise((resolve) => {
      const server = servers.get(port);
      servers.delete(port);
      if (server === undefined) {
        resolve();
        return;
      }
      server.close(() => {
        resolve();
      });
      server.closeAllConnections();
    });

  return {
    async update(ports) {
      const next = new Map<number, HealthPort>();
      for (const port of ports) if (!next.has(port.port)) next.set(port.port, port);
      current.clear();
      for (const [number, port] of next) current.set(number, port);
      const work: Promise<void>[] = [];
      for (const number of servers.keys()) if (!next.has(number)) work.push(shut(number));
      for (const number of failed.keys()) if (!next.has(number)) failed.delete(number);
      for (const number of next.keys()) if (!servers.has(number)) work.push(open(number));
      await Promise.all(work);
    },
    issues: () => [...failed.values()],
    async close() {
      current.clear();
      await Promise.all([...servers.keys()].map(shut));
    },
    async [Symbol.asyncDispose]() {
      await this.close();
    },
  };
}
