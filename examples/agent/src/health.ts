/**
 * `/healthz` for liveness and `/readyz` for readiness. Liveness fails only for what a restart can cure: a pass that has not
 * ended for ten minutes. A block in trouble is not a reason to kill the agent that is mending it; it shows in the detail.
 */
import { createServer, type Server } from 'node:http';
import { SdkError } from 'kube-router-sdk/net';
import type { AgentState } from './state.ts';

const STUCK_MS = 600_000;

/** What the health server reads. */
export interface HealthInputs {
  readonly state: AgentState;
  /** Epoch milliseconds since when a pass has been under way, by block. */
  readonly running?: () => ReadonlyMap<string, number>;
  readonly now?: () => number;
}

/** Answer to one request. */
export interface HealthAnswer {
  readonly status: number;
  readonly body: string;
}

/** What one path answers; pure. */
export function healthAnswer(path: string, verbose: boolean, inputs: HealthInputs): HealthAnswer | undefined {
  const now = (inputs.now ?? Date.now)();
  const stuck = [...(inputs.running?.() ?? [])].filter(([, since]) => now - since > STUCK_MS).map(([name]) => name);
  const blocks = inputs.state.blocks();
  const detail = (): string =>
    blocks.map((block) => `[${block.ready ? '+' : '-'}] ${block.name}: ${block.trouble ?? 'ok'}\n`).join('');
  if (path === '/healthz' || path === '/livez') {
    const alive = stuck.length === 0;
    const head = alive ? 'OK\n' : `Unhealthy: a pass of ${stuck.join(', ')} does not end\n`;
    return { status: alive ? 200 : 500, body: verbose ? head + detail() : head };
  }
  if (path === '/readyz') {
    const ready = inputs.state.ready();
    const waiting = blocks.filter((block) => !block.ready);
    const head = ready
      ? 'OK\n'
      : `Not ready: ${waiting.map((b) => `${b.name} (${b.trouble ?? 'no pass yet'})`).join(', ') || 'starting'}\n`;
    return { status: ready ? 200 : 503, body: verbose ? head + detail() : head };
  }
  return undefined;
}

/**
 * Opens the health server.
 * @throws SdkError `CONFLICT` when the address cannot be bound
 */
export async function openHealthServer(address: string, port: number, inputs: HealthInputs): Promise<Server> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const answer = healthAnswer(url.pathname, url.searchParams.has('verbose'), inputs);
    response.writeHead(answer?.status ?? 404, {
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'no-store',
    });
    response.end(answer?.body ?? 'not found\n');
  });
  await listen(server, address, port, 'health');
  return server;
}

/**
 * Binds a server, or says who could not be bound and why; an empty address is all of them.
 * @throws SdkError `CONFLICT`
 */
export async function listen(server: Server, address: string, port: number, name: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'the port is in use' : (cause.code ?? cause.message);
      reject(
        new SdkError(
          `cannot open the ${name} server on ${address === '' ? '*' : address}:${port}: ${why}; choose --${name}-port`,
          {
            code: 'CONFLICT',
            cause,
          },
        ),
      );
    });
    server.listen({ port, ...(address === '' ? {} : { host: address }) }, resolve);
  });
  server.unref();
}

/** Closes a server and its idle connections. */
export async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
