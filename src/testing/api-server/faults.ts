/**
 * What can be made to go wrong: faults that apply to the requests they match, a number of times or until removed.
 * Every fault is one that real servers, proxies and networks show.
 */

/** A request as faults and logs see it. */
export interface RequestInfo {
  readonly method: string;
  readonly path: string;
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'other';
  /** Plural, empty for anything but resources. */
  readonly resource: string;
  readonly query: URLSearchParams;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** A watch event as it goes over the wire. */
export interface WireEvent {
  readonly type: string;
  readonly object: unknown;
}

/** One way to go wrong. */
export type Fault =
  /** Answers with this status. */
  | {
      readonly type: 'status';
      readonly code: number;
      readonly reason?: string;
      readonly message?: string;
      readonly retryAfter?: string;
    }
  /** Breaks the connection with RST: before the answer, or after so many bytes of the body. */
  | { readonly type: 'reset'; readonly afterBytes?: number }
  /** Ends the answer in good order, but early. */
  | { readonly type: 'truncate'; readonly afterBytes: number }
  /** Spoils one byte of the body. */
  | { readonly type: 'corrupt'; readonly at: number }
  /** Says no more and closes nothing: before the answer, or after so many bytes of the body. */
  | { readonly type: 'freeze'; readonly afterBytes?: number }
  /** Sends the body in pieces of so many bytes, each a chunk of its own. */
  | { readonly type: 'dribble'; readonly bytes: number }
  /** Compresses the body, asked or not, as a proxy does. */
  | { readonly type: 'gzip' }
  /** Answers a list with a page that has nothing but the token to go on with. */
  | { readonly type: 'empty-page' }
  /** Says every page of a list to be of the present version, as a list that goes on after its token expired. */
  | { readonly type: 'inconsistent-pages' }
  /** Answers late. */
  | { readonly type: 'delay'; readonly ms: number }
  /** Sends an ERROR event with this code as the first event of a watch and ends it. */
  | { readonly type: 'error-event'; readonly code: number }
  /** Ends a watch as soon as it is open. */
  | { readonly type: 'close' }
  /** Replaces each event of a watch by others. */
  | {
      readonly type: 'rewrite';
      /** Gives what is sent in place of an event: none, one or several. */
      readonly rewrite: (event: WireEvent) => readonly WireEvent[];
    };

/** When a fault applies. */
export interface FaultOptions {
  /** @defaultValue every request */
  readonly match?: (request: RequestInfo) => boolean;
  /** How many requests it applies to. @defaultValue all until removed */
  readonly times?: number;
}

/** The faults in force. */
export interface FaultTable {
  add(fault: Fault, options?: FaultOptions): () => void;
  clear(): void;
  /** The faults for a request, counted off. */
  take(request: RequestInfo): Fault[];
}

/** Creates an empty table. */
export function createFaultTable(): FaultTable {
  const table = new Set<{ fault: Fault; match: (request: RequestInfo) => boolean; left: number }>();
  return {
    add(fault, options = {}) {
      const entry = { fault, match: options.match ?? (() => true), left: options.times ?? Number.POSITIVE_INFINITY };
      table.add(entry);
      return () => table.delete(entry);
    },
    clear: () => table.clear(),
    take(request) {
      const found: Fault[] = [];
      for (const entry of table) {
        if (!entry.match(request)) continue;
        entry.left--;
        if (entry.left <= 0) table.delete(entry);
        found.push(entry.fault);
      }
      return found;
    },
  };
}
