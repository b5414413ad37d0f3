/**
 * Connections over node:net.
 * Writes made in one turn leave together; what the system has not taken counts as backlog. Protection below BGP (MD5, hop limits) is
 * set through socket-options.ts before the first packet.
 */
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { SdkError } from '../../net/index.ts';
import { createSiblings, plain } from './siblings.ts';
import type { SocketOptions } from './socket-options.ts';
import { createSocketOptions } from './socket-options.ts';
import type { Connection, Transport } from './transport.ts';

/** Milliseconds that a closing connection has to send its last words. */
const LINGER_MS = 2000;

function wrap(socket: Socket, options: SocketOptions): Connection {
  socket.setNoDelay(true);
  const localAddress = plain(socket.localAddress);
  const remoteAddress = plain(socket.remoteAddress);
  let corked = false;
  let ended = false;
  return {
    localAddress,
    remoteAddress,
    remotePort: socket.remotePort ?? 0,
    localPort: socket.localPort ?? 0,
    protect: (security) => options.accepted(socket, security),
    start(handlers) {
      let reason = 'connection closed by the peer';
      let closed = false;
      const close = (): void => {
        if (closed) return;
        closed = true;
        handlers.onClose(reason);
      };
      socket.on('data', (chunk: Uint8Array) => {
        if (!ended) handlers.onData(chunk);
      });
      socket.on('drain', () => handlers.onDrain());
      socket.on('error', (error: NodeJS.ErrnoException) => {
        reason = error.code ?? error.message;
      });
      socket.on('end', close);
      socket.on('close', close);
    },
    write(bytes) {
      if (socket.destroyed) return;
      if (!corked) {
        corked = true;
        socket.cork();
        process.nextTick(() => {
          corked = false;
          socket.uncork();
        });
      }
      socket.write(bytes);
    },
    backlog: () => socket.writableLength,
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    end() {
      ended = true;
      socket.on('error', () => undefined);
      socket.resume();
      socket.end();
      const timer = setTimeout(() => socket.destroy(), LINGER_MS);
      timer.unref();
      socket.once('close', () => clearTimeout(timer));
    },
    destroy() {
      socket.on('error', () => undefined);
      socket.destroy();
    },
  };
}

/** Makes the transport of the system. */
export function createTcpTransport(options: SocketOptions = createSocketOptions()): Transport {
  return {
    dial(where, onOpen, onError) {
      let done = false;
      let socket: Socket;
      try {
        socket = options.client(where.address, where.security);
      } catch (error) {
        queueMicrotask(() => {
          if (!done) onError(error instanceof Error ? error.message : String(error));
        });
        return () => {
          done = true;
        };
      }
      socket.once('error', (error: NodeJS.ErrnoException) => {
        if (done) return;
        done = true;
        socket.destroy();
        onError(error.code ?? error.message);
      });
      socket.once('connect', () => {
        if (done) return;
        done = true;
        onOpen(wrap(socket, options));
      });
      socket.connect({
        host: where.address,
        port: where.port,
        ...(where.localAddress === undefined ? {} : { localAddress: where.localAddress }),
      });
      return () => {
        if (done) return;
        done = true;
        socket.on('error', () => undefined);
        socket.destroy();
      };
    },

    async listen({ address, port }, onConnection) {
      const server: Server = createServer({ noDelay: true }, (socket) => {
        // Gone again already: nobody to talk to.
        if (socket.remoteAddress === undefined) socket.destroy();
        else onConnection(wrap(socket, options));
      });
      await new Promise<void>((resolve, reject) => {
        server.once('error', (cause: NodeJS.ErrnoException) => {
          const code =
            cause.code === 'EACCES' ? 'PERMISSION_DENIED' : cause.code === 'EADDRINUSE' ? 'CONFLICT' : 'INVALID_OPTION';
          reject(
            new SdkError(`cannot listen on ${address} port ${port}: ${cause.code}`, {
              code,
              cause,
              details: { address, port },
            }),
          );
        });
        server.listen({ host: address, port, ipv6Only: address.includes(':') }, resolve);
      });
      server.on('error', () => undefined);
      return {
        port: (server.address() as AddressInfo).port,
        protect: (peer, security) => options.server(server, peer, security),
        close: () =>
          new Promise((resolve) => {
            server.close(() => resolve());
          }),
      };
    },

    siblings: createSiblings(),
  };
}
