/**
 * Writing objects: create, update, patch, delete, and `modify`, which reads, changes and writes until nobody was in between.
 * Throttling and outages are waited out with backoff; what the server refuses for good is an error at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isSdkError } from '../../net/errors.ts';
import { createBackoff } from './backoff.ts';
import { callApi } from './client.ts';
import { aborted } from './connection.ts';
import type { ApiRequest, Connection } from './connection.ts';
import { pathOf } from './kind-spec.ts';
import type { KindSpec } from './kind-spec.ts';

/** An object as the API takes and gives it. */
export interface ApiObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name?: string;
    readonly generateName?: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

/** Where a kind is served. */
export type KindPath = Pick<KindSpec<unknown>, 'apiVersion' | 'plural' | 'namespaced'>;

/** Which object. */
export interface ObjectRef {
  /** Empty for cluster-scoped kinds. */
  readonly namespace?: string;
  readonly name: string;
}

/** How a write is made. */
export interface WriteOptions {
  readonly signal?: AbortSignal;
  /** Writes `status` alone, or another subresource. */
  readonly subresource?: string;
  /** How often a write is tried, counting the first. @defaultValue 5 */
  readonly attempts?: number;
}

/** The patches of the API. */
export type PatchType = 'merge' | 'strategic' | 'json';

/** Reads and writes single objects of any kind. */
export interface ApiWriter {
  /** @throws SdkError `API_ERROR` (404: not there) | `API_UNREACHABLE` | `ABORTED`; so do all of these. */
  get(kind: KindPath, ref: ObjectRef, options?: WriteOptions): Promise<ApiObject>;
  /** Not tried again after a broken connection: the object may have been created. */
  create(kind: KindPath, object: ApiObject, options?: WriteOptions): Promise<ApiObject>;
  /** With `metadata.resourceVersion`, refused (409) when someone else has written since. */
  update(kind: KindPath, object: ApiObject, options?: WriteOptions): Promise<ApiObject>;
  /** Changes a part of an object. */
  patch(kind: KindPath, ref: ObjectRef, type: PatchType, patch: unknown, options?: WriteOptions): Promise<ApiObject>;
  /** `false`: it was not there. */
  remove(kind: KindPath, ref: ObjectRef, options?: WriteOptions): Promise<boolean>;
  /**
   * Reads, lets the caller change, and writes; from the start again when someone else wrote in between.
   * The change is a function of the object given and may run several times; `undefined` means that nothing is to be written.
   */
  modify(
    kind: KindPath,
    ref: ObjectRef,
    change: (current: ApiObject) => ApiObject | undefined,
    options?: WriteOptions,
  ): Promise<ApiObject>;
}

const PATCH_TYPES: Readonly<Record<PatchType, string>> = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
};

const statusOf = (error: unknown) => (isSdkError(error, 'API_ERROR') ? error.details['status'] : undefined);

/** Creates a writer over a connection. */
export function createApiWriter(connection: Connection): ApiWriter {
  /** Tries again what may be tried again: throttling always, broken connections only where doing it twice is doing it once. */
  const attempt = async (request: ApiRequest, options: WriteOptions, repeatable: boolean): Promise<ApiObject> => {
    const backoff = createBackoff({ baseMs: 200, maxMs: 5000 });
    const attempts = options.attempts ?? 5;
    for (let left = attempts - 1; ; left--) {
      try {
        return (await callApi(connection, withSignal(request, options))) as ApiObject;
      } catch (error) {
        const status = statusOf(error);
        const refused = status === 429 || status === 503 || (status === 401 && left === attempts - 1);
        const broken = isSdkError(error, 'API_UNREACHABLE') || (typeof status === 'number' && status >= 500);
        if (left <= 0 || !(refused || (broken && repeatable))) throw error;
        const asked = isSdkError(error) ? error.details['retryAfterMs'] : undefined;
        await pause(Math.max(backoff.next(), typeof asked === 'number' ? asked : 0), options.signal);
      }
    }
  };
  const place = (kind: KindPath, ref: ObjectRef, options: WriteOptions) =>
    pathOf(kind, ref.namespace, ref.name) + (options.subresource === undefined ? '' : `/${options.subresource}`);

  const writer: ApiWriter = {
    get: (kind, ref, options = {}) => attempt({ path: place(kind, ref, options) }, options, true),
    create: (kind, object, options = {}) =>
      attempt({ method: 'POST', path: pathOf(kind, object.metadata.namespace), body: object }, options, false),
    update(kind, object, options = {}) {
      const ref = { namespace: object.metadata.namespace ?? '', name: object.metadata.name ?? '' };
      // With a version a second write is refused, so that trying again is safe.
      const repeatable = object.metadata.resourceVersion !== undefined;
      return attempt({ method: 'PUT', path: place(kind, ref, options), body: object }, options, repeatable);
    },
    patch: (kind, ref, type, patch, options = {}) =>
      attempt(
        { method: 'PATCH', path: place(kind, ref, options), body: patch, contentType: PATCH_TYPES[type] },
        options,
        type !== 'json',
      ),
    async remove(kind, ref, options = {}) {
      try {
        await attempt({ method: 'DELETE', path: place(kind, ref, options) }, options, true);
        return true;
      } catch (error) {
        if (statusOf(error) === 404) return false;
        throw error;
      }
    },
    async modify(kind, ref, change, options = {}) {
      const backoff = createBackoff({ baseMs: 20, maxMs: 1000 });
      for (let left = (options.attempts ?? 5) - 1; ; left--) {
        const { subresource: _, ...reading } = options;
        const current = await writer.get(kind, ref, reading);
        const next = change(current);
        if (next === undefined) return current;
        const { namespace, name, resourceVersion } = current.metadata;
        const metadata = {
          ...next.metadata,
          ...(name === undefined ? {} : { name }),
          ...(namespace === undefined ? {} : { namespace }),
          ...(resourceVersion === undefined ? {} : { resourceVersion }),
        };
        try {
          return await writer.update(kind, { ...next, metadata }, options);
        } catch (error) {
          if (left <= 0 || statusOf(error) !== 409) throw error;
          await pause(backoff.next(), options.signal);
        }
      }
    },
  };
  return writer;
}

function withSignal(request: ApiRequest, options: WriteOptions): ApiRequest {
  return options.signal === undefined ? request : { ...request, signal: options.signal };
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    throw aborted(error);
  }
}
