/**
 * Writing an answer, through the faults in force: whole, broken, late, or never ending.
 * Everything that goes to a client goes through here, so that a fault can strike at any byte.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createGzip } from 'node:zlib';
import type { Fault, WireEvent } from './faults.ts';

/** An answer being written. */
export interface Reply {
  /** Resolves when the answer may begin. `false`: a fault has dealt with it. */
  begin(status: number, headers: Readonly<Record<string, string>>): Promise<boolean>;
  /** Writes; resolves when more may be written. `false`: the answer is over. */
  write(text: string): Promise<boolean>;
  end(): void;
  readonly faults: readonly Fault[];
  /** Watch events as the faults would have them. */
  rewrite(event: WireEvent): readonly WireEvent[];
  /** Resolves when the client or a fault ended it. */
  readonly over: Promise<void>;
  readonly ended: boolean;
}

/** Creates an answer. */
export function createReply(
  request: IncomingMessage,
  response: ServerResponse,
  faults: readonly Fault[],
  frozen: () => boolean,
): Reply {
  let written = 0;
  let ended = false;
  let stuck = false;
  let finish = () => {};
  const over = new Promise<void>((resolve) => (finish = resolve));
  response.on('close', () => {
    ended = true;
    finish();
  });
  const cut = faults.find((fault) => 'afterBytes' in fault && fault.afterBytes !== undefined) as
    { type: 'reset' | 'truncate' | 'freeze'; afterBytes: number } | undefined;
  const spoilt = faults.find((fault) => fault.type === 'corrupt');
  const dribble = faults.find((fault) => fault.type === 'dribble');
  const packer = faults.some((fault) => fault.type === 'gzip') ? createGzip() : undefined;
  packer?.pipe(response);
  /** Writes to the client; resolves when more may be written. */
  const send = async (part: Buffer): Promise<void> => {
    if (packer !== undefined) {
      packer.write(part);
      // What a watch says must not wait in the compressor.
      return new Promise((resolve) => packer.flush(() => resolve()));
    }
    const size = dribble?.bytes ?? part.length;
    for (let at = 0; at < part.length && !ended; at += size) {
      if (response.write(part.subarray(at, at + size))) continue;
      await Promise.race([new Promise<void>((resolve) => response.once('drain', resolve)), over]);
    }
  };
  const strike = (type: 'reset' | 'truncate' | 'freeze') => {
    if (type === 'reset') request.socket.resetAndDestroy();
    else if (type === 'truncate') response.end();
    else stuck = true;
    if (type !== 'freeze') ended = true;
  };

  return {
    faults,
    over,
    get ended() {
      return ended;
    },
    rewrite(event) {
      let events: readonly WireEvent[] = [event];
      for (const fault of faults) if (fault.type === 'rewrite') events = events.flatMap((one) => fault.rewrite(one));
      return events;
    },
    async begin(status, headers) {
      for (const fault of faults) {
        if (fault.type === 'delay') await new Promise((resolve) => setTimeout(resolve, fault.ms));
        if ((fault.type === 'reset' || fault.type === 'freeze') && fault.afterBytes === undefined) {
          strike(fault.type);
          return false;
        }
      }
      if (frozen()) stuck = true;
      if (stuck || ended) return false;
      response.writeHead(status, packer === undefined ? headers : { ...headers, 'content-encoding': 'gzip' });
      response.flushHeaders();
      return true;
    },
    async write(text) {
      if (frozen()) stuck = true;
      if (stuck) return true;
      if (ended) return false;
      let part = Buffer.from(text);
      if (cut !== undefined && written + part.length >= cut.afterBytes) {
        part = part.subarray(0, Math.max(0, cut.afterBytes - written));
        if (part.length > 0) await new Promise<void>((resolve) => response.write(part, () => resolve()));
        written += part.length;
        // The bytes before the cut have to arrive before the end of the connection does.
        await new Promise((resolve) => setTimeout(resolve, 20));
        strike(cut.type);
        return cut.type === 'freeze';
      }
      if (spoilt !== undefined && spoilt.at >= written && spoilt.at < written + part.length)
        part[spoilt.at - written] = 1;
      written += part.length;
      await send(part);
      return !ended;
    },
    end() {
      if (stuck || ended) return;
      ended = true;
      if (packer === undefined) response.end();
      else packer.end();
    },
  };
}
