/**
 * A network in memory with time of its own, on which BGP speakers meet without sockets: bytes arrive late, in pieces and in order, and
 * connections can be cut. Nothing happens except during `run`, so a test sees every state in between and never waits.
 * Give `clock` and `transport(address)` to `createSpeaker`.
 */
import type { Clock, Connection, ConnectionHandlers, Transport } from '../bgp/index.ts';

/** How the network behaves. */
export interface MemoryNetworkOptions {
  /** Numbers in [0, 1) for delays and pieces. @defaultValue always 0.5 */
  readonly random?: () => number;
  /** Greatest delay of a piece in milliseconds. @defaultValue 10 */
  readonly delayMs?: number;
  /** Longest piece in octets. @defaultValue unlimited */
  readonly pieceLength?: number;
  /** Bytes that may be under way before the sender sees a backlog. @defaultValue unlimited */
  readonly window?: number;
}

/** A network in memory. */
export interface MemoryNetwork {
  readonly clock: Clock;
  /** Host at an address. */
  transport(address: string): Transport;
  /** Lets virtual time pass. */
  run(ms: number): void;
  /** Cuts every connection whose ends satisfy the predicate; both ends see a reset. */
  cut(which?: (a: string, b: string) => boolean): void;
  /** Holds back everything between two hosts until the returned function is called: nobody is told. */
  partition(which: (a: string, b: string) => boolean): () => void;
  /** Open connections. */
  readonly connections: number;
}

interface End {
  readonly address: string;
  handlers: ConnectionHandlers | undefined;
  readonly early: Uint8Array[];
  /** Bytes written and not yet taken by the other end's reader. */
  underWay: number;
  /** When the last piece of this direction arrives. */
  lastArrival: number;
  paused: boolean;
  closed: boolean;
  readonly held: Uint8Array[];
  retrying: boolean;
}

/** Makes a {@link MemoryNetwork}. */
export function createMemoryNetwork(options: MemoryNetworkOptions = {}): MemoryNetwork {
  const random = options.random ?? (() => 0.5);
  const delayMs = options.delayMs ?? 10;
  const pieceLength = options.pieceLength ?? Infinity;
  const window = options.window ?? Infinity;
  interface Task {
    readonly at: number;
    readonly order: number;
    readonly call: () => void;
    cancelled: boolean;
  }
  let tasks: Task[] = [];
  let now = 0;
  let order = 0;
  const schedule = (ms: number, call: () => void): (() => void) => {
    const task: Task = { at: now + Math.max(0, ms), order: order++, call, cancelled: false };
    // Kept sorted: insertion from the end is short, since most tasks are for later.
    let at = tasks.length;
    while (at > 0 && tasks[at - 1]!.at > task.at) at--;
    tasks.splice(at, 0, task);
    return () => {
      task.cancelled = true;
    };
  };
  const clock: Clock = { now: () => now, after: schedule, soon: (call) => void schedule(0, call) };
  const listeners = new Map<string, (connection: Connection) => void>();
  const links = new Set<readonly [End, End]>();
  const walls = new Set<(a: string, b: string) => boolean>();
  const blocked = (a: string, b: string): boolean => [...walls].some((wall) => wall(a, b) || wall(b, a));

  const close = (link: readonly [End, End], reason: string): void => {
    links.delete(link);
    for (const end of link) {
      if (end.closed) continue;
      end.closed = true;
      schedule(0, () => end.handlers?.onClose(reason));
    }
  };

  const connectionOf = (link: readonly [End, End], side: 0 | 1, remotePort: number): Connection => {
    const own = link[side];
    const other = link[side === 0 ? 1 : 0];
    const deliver = (piece: Uint8Array): void => {
      if (other.closed) return;
      if (other.paused || blocked(own.address, other.address)) {
        other.held.push(piece);
        retry();
        return;
      }
      own.underWay -= piece.length;
      if (other.handlers === undefined) other.early.push(piece);
      else other.handlers.onData(piece);
      if (own.underWay === 0) schedule(0, () => own.handlers?.onDrain());
    };
    /** Tries what is held again later, all of it or nothing, so that order is kept. */
    const retry = (): void => {
      if (other.retrying) return;
      other.retrying = true;
      schedule(100, () => {
        other.retrying = false;
        if (other.closed) return;
        if (other.paused || blocked(own.address, other.address)) {
          retry();
          return;
        }
        for (const piece of other.held.splice(0)) deliver(piece);
      });
    };
    return {
      localAddress: own.address,
      remoteAddress: other.address,
      remotePort,
      start(handlers) {
        own.handlers = handlers;
        for (const piece of own.early.splice(0)) handlers.onData(piece);
      },
      write(bytes) {
        if (own.closed) return;
        for (let at = 0; at < bytes.length;) {
          const length = Math.min(bytes.length - at, Math.max(1, Math.ceil(pieceLength * random())) || bytes.length);
          const piece = bytes.slice(at, at + length);
          at += length;
          own.underWay += piece.length;
          own.lastArrival = Math.max(own.lastArrival, now + delayMs * random());
          schedule(own.lastArrival - now, () => {
            if (other.held.length > 0) other.held.push(piece);
            else deliver(piece);
          });
        }
      },
      backlog: () => Math.max(0, own.underWay - window),
      pause: () => {
        own.paused = true;
      },
      resume: () => {
        own.paused = false;
      },
      end() {
        if (own.closed) return;
        own.closed = true;
        // What was written before still arrives, and is read before the end.
        const finish = (): void => {
          if (!links.has(link)) return;
          const waits = other.held.length > 0 || other.paused || blocked(own.address, other.address);
          if (!other.closed && waits) schedule(100, finish);
          else close(link, 'connection closed by the peer');
        };
        schedule(Math.max(0, own.lastArrival - now), finish);
      },
      destroy() {
        if (own.closed) return;
        own.closed = true;
        close(link, 'connection reset');
      },
    };
  };

  return {
    clock,
    transport(address) {
      return {
        dial(where, onOpen, onError) {
          let over = false;
          schedule(delayMs * random() * 2, () => {
            if (over) return;
            over = true;
            const accept = listeners.get(where.address);
            if (accept === undefined || blocked(address, where.address)) {
              onError('ECONNREFUSED');
              return;
            }
            const end = (at: string): End => ({
              address: at,
              handlers: undefined,
              early: [],
              underWay: 0,
              lastArrival: now,
              paused: false,
              closed: false,
              held: [],
              retrying: false,
            });
            const link = [end(address), end(where.address)] as const;
            links.add(link);
            onOpen(connectionOf(link, 0, where.port));
            accept(connectionOf(link, 1, 40_000));
          });
          return () => {
            over = true;
          };
        },
        listen(where, onConnection) {
          listeners.set(where.address, onConnection);
          return Promise.resolve({
            port: where.port,
            protect: () => undefined,
            close: () => {
              if (listeners.get(where.address) === onConnection) listeners.delete(where.address);
              return Promise.resolve();
            },
          });
        },
        siblings: () => ({}),
      };
    },
    run(ms) {
      const until = now + ms;
      for (let first = tasks[0]; first !== undefined && first.at <= until; first = tasks[0]) {
        tasks.shift();
        now = first.at;
        if (!first.cancelled) first.call();
      }
      now = until;
      tasks = tasks.filter((task) => !task.cancelled);
    },
    cut(which = () => true) {
      for (const link of [...links]) {
        const [a, b] = link;
        if (which(a.address, b.address) || which(b.address, a.address)) close(link, 'connection reset');
      }
    },
    partition(which) {
      walls.add(which);
      return () => void walls.delete(which);
    },
    get connections() {
      return links.size;
    },
  };
}
