/**
 * Asks the running agent over its socket.
 */
import { request } from 'node:http';
import { SdkError } from 'kube-router-sdk/net';
import { socketPath } from '../paths.ts';

/**
 * One view of the running agent; undefined when none runs.
 * @throws SdkError `API_ERROR` with the agent's own words, `PERMISSION_DENIED`, `API_UNREACHABLE`
 */
export function askAgent(runDir: string, path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: socketPath(runDir), path, timeout: 10_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const body = JSON.parse(Buffer.concat(chunks).toString()) as { error?: string };
        if (response.statusCode === 200) resolve(body);
        else reject(new SdkError(body.error ?? `status ${response.statusCode}`, { code: 'API_ERROR' }));
      });
    });
    call.on('timeout', () =>
      call.destroy(new SdkError('the running agent does not answer', { code: 'API_UNREACHABLE' })),
    );
    call.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined);
      else if (error.code === 'EACCES') {
        const message = `${socketPath(runDir)} belongs to another user; use root`;
        reject(new SdkError(message, { code: 'PERMISSION_DENIED', cause: error }));
      } else reject(error);
    });
    call.end();
  });
}

/** Calls back at each event of the running agent; resolves when the connection ends. */
export function followAgent(runDir: string, onEvent: () => void): Promise<void> {
  return new Promise((resolve) => {
    const call = request({ socketPath: socketPath(runDir), path: '/events' }, (response) => {
      response.on('data', (chunk: Buffer) => {
        if (chunk.includes('event:')) onEvent();
      });
      response.on('end', resolve);
      response.on('error', () => resolve());
    });
    call.on('error', () => resolve());
    call.end();
  });
}
