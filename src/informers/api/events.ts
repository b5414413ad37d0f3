/**
 * Events for people who look with `kubectl describe`: equal ones are counted instead of repeated, and a flood is cut short.
 * An event is a courtesy: it never blocks, never throws, and is dropped when the server will not have it.
 */
import type { Connection } from './connection.ts';
import { createApiWriter } from './writes.ts';
import type { ApiObject } from './writes.ts';

/** What an event is about and says. */
export interface EventNote {
  readonly about: {
    readonly apiVersion: string;
    readonly kind: string;
    /** Empty for cluster-scoped kinds; their events go to `default`. */
    readonly namespace: string;
    readonly name: string;
    readonly uid?: string;
  };
  readonly type: 'Normal' | 'Warning';
  /** CamelCase word for programs. */
  readonly reason: string;
  /** One sentence for people; cut at 1024 characters, the API's limit. */
  readonly message: string;
}

/** Who speaks and how much. */
export interface EventRecorderOptions {
  readonly connection: Connection;
  /** `reportingComponent`, such as `kube-router`. */
  readonly component: string;
  /** `reportingInstance`: the node's name. */
  readonly instance: string;
  /** Events at once about one object, then one every `refillMs`. @defaultValue 25, as client-go */
  readonly burst?: number;
  /** Milliseconds. @defaultValue 300000, as client-go */
  readonly refillMs?: number;
  /** Equal events within this time are one with a count, written again at most once in a tenth of it; milliseconds. @defaultValue 600000 */
  readonly windowMs?: number;
  /** Epoch milliseconds. @defaultValue `Date.now` */
  readonly now?: () => number;
}

/** Records events. */
export interface EventRecorder {
  /** Takes note; writes behind the scenes. */
  record(note: EventNote): void;
  /** Resolves when everything noted so far was written or given up. */
  flush(): Promise<void>;
  /** Events not written: too many, or refused. */
  readonly dropped: number;
}

const EVENTS = { apiVersion: 'v1', plural: 'events', namespaced: true };
/** Objects and texts remembered; the oldest are forgotten. */
const REMEMBERED = 1000;

interface Series {
  name: string;
  namespace: string;
  count: number;
  firstAt: number;
  lastAt: number;
  writtenAt: number;
}

/** Creates a recorder. */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const { burst = 25, refillMs = 300_000, windowMs = 600_000, now = Date.now } = options;
  const writer = createApiWriter(options.connection);
  const series = new Map<string, Series>();
  const allowances = new Map<string, { free: number; at: number }>();
  let queue: Promise<void> = Promise.resolve();
  let waiting = 0;
  let dropped = 0;

  const allowed = (about: string): boolean => {
    const at = now();
    const one = allowances.get(about) ?? { free: burst, at };
    one.free = Math.min(burst, one.free + (at - one.at) / refillMs);
    one.at = at;
    remember(allowances, about, one);
    if (one.free < 1) return false;
    one.free -= 1;
    return true;
  };
  const later = (work: () => Promise<unknown>) => {
    if (waiting >= REMEMBERED) {
      dropped++;
      return;
    }
    waiting++;
    queue = queue
      .then(work)
      .catch(() => dropped++)
      .then(() => void waiting--);
  };

  return {
    get dropped() {
      return dropped;
    },
    flush: () => queue,
    record(note) {
      const { about } = note;
      const id = JSON.stringify([about, note.type, note.reason, note.message]);
      const at = now();
      const known = series.get(id);
      if (known !== undefined && at - known.lastAt < windowMs) {
        known.count++;
        known.lastAt = at;
        if (at - known.writtenAt < windowMs / 10) return;
        known.writtenAt = at;
        const { namespace, name, count } = known;
        const patch = { count, lastTimestamp: timeOf(at) };
        return later(() => writer.patch(EVENTS, { namespace, name }, 'merge', patch, { attempts: 2 }));
      }
      if (!allowed(JSON.stringify(about))) {
        dropped++;
        return;
      }
      const namespace = about.namespace === '' ? 'default' : about.namespace;
      // As client-go names them: unique by time, at home beside their object.
      const name = `${about.name.slice(0, 200)}.${(at * 1e6).toString(16)}${Math.floor(Math.random() * 65536).toString(16)}`;
      remember(series, id, { name, namespace, count: 1, firstAt: at, lastAt: at, writtenAt: at });
      later(() => writer.create(EVENTS, eventOf(note, options, { name, namespace }, at), { attempts: 2 }));
    },
  };
}

function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > REMEMBERED) map.delete(map.keys().next().value ?? '');
}

const timeOf = (at: number) => new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');

function eventOf(
  note: EventNote,
  options: EventRecorderOptions,
  place: { readonly name: string; readonly namespace: string },
  at: number,
): ApiObject {
  const { apiVersion, kind, namespace, name, uid } = note.about;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: place,
    involvedObject: {
      apiVersion,
      kind,
      name,
      ...(namespace === '' ? {} : { namespace }),
      ...(uid === undefined || uid === '' ? {} : { uid }),
    },
    type: note.type,
    reason: note.reason,
    message: note.message.length > 1024 ? `${note.message.slice(0, 1021)}...` : note.message,
    source: { component: options.component, host: options.instance },
    reportingComponent: options.component,
    reportingInstance: options.instance,
    firstTimestamp: timeOf(at),
    lastTimestamp: timeOf(at),
    count: 1,
  };
}
