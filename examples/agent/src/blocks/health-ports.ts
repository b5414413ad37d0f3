/**
 * Health-check node ports: what a load balancer outside asks to learn whether this node has endpoints of a Service whose
 * external traffic stays local. One small HTTP server a port, as kube-proxy answers.
 */
import { createServer, type Server } from 'node:http';
import type { HealthPort } from 'kube-router-sdk/ipvs';
import { closeServer } from '../health.ts';
import type { Log } from '../log.ts';

/** The servers. */
export interface HealthPorts {
  /** The full set, by Service. */
  set(wanted: ReadonlyMap<string, HealthPort>): void;
  close(): Promise<void>;
}

/** Answer of a health-check node port. */
export function healthPortAnswer({ namespace, name, localEndpoints }: HealthPort): { status: number; body: string } {
  return {
    status: localEndpoints > 0 ? 200 : 503,
    body: `${JSON.stringify({ service: { namespace, name }, localEndpoints, serviceProxyHealthy: true })}\n`,
  };
}

/** Makes the servers; a port that cannot be opened is logged and tried again at the next change. */
export function createHealthPorts(log: Log): HealthPorts {
  const open = new Map<number, { server: Server; answer: HealthPort }>();
  const listen = (answer: HealthPort): void => {
    const slot = {
      answer,
      server: createServer((_request, response) => {
        const { status, body } = healthPortAnswer(slot.answer);
        response
          .writeHead(status, { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' })
          .end(body);
      }),
    };
    open.set(answer.port, slot);
    slot.server.on('error', (error: NodeJS.ErrnoException) => {
      open.delete(answer.port);
      const service = `${answer.namespace}/${answer.name}`;
      log.warn(
        { block: 'ipvs', service, port: answer.port, error: error.code },
        'health-check node port cannot be opened',
      );
    });
    slot.server.listen(answer.port).unref();
  };
  return {
    set(wanted) {
      const ports = new Map([...wanted.values()].map((answer) => [answer.port, answer]));
      for (const [port, { server }] of open) {
        if (ports.has(port)) continue;
        open.delete(port);
        void closeServer(server);
      }
      for (const [port, answer] of ports) {
        const slot = open.get(port);
        if (slot === undefined) listen(answer);
        else slot.answer = answer;
      }
    },
    async close() {
      await Promise.all([...open.values()].map(({ server }) => closeServer(server)));
      open.clear();
    },
  };
}
