/**
 * Create, update, patch and delete with the API's rules: versions that must match, status apart from spec, finalizers, names.
 * Stands on store.ts; requests.ts turns HTTP into these.
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { applyDefaults, generatedName } from './defaults.ts';
import type { DefaultsContext } from './defaults.ts';
import { StatusError } from './errors.ts';
import { jsonPatch, mergePatch, strategicPatch } from './patch.ts';
import type { Target } from './resources.ts';
import { apiVersionOf } from './resources.ts';
import { storeKey } from './store.ts';
import type { StoredObject } from './store.ts';

type Json = Record<string, unknown>;

const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);
const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;

/** The 404 of an object. */
export function notFound({ type, name }: Target): StatusError {
  const resource = type.group === '' ? type.plural : `${type.plural}.${type.group}`;
  const details = { name, kind: type.plural, ...(type.group === '' ? {} : { group: type.group }) };
  return new StatusError(404, 'NotFound', `${resource} "${name}" not found`, details);
}

function conflict({ type }: Target, name: string, reason: 'Conflict' | 'AlreadyExists', message: string): StatusError {
  return new StatusError(409, reason, message, { name, kind: type.plural, group: type.group });
}

/** Checks what every written object must have and gives it the identity of its place. */
function prepare(target: Target, body: unknown): Json & { metadata: Json } {
  const { type } = target;
  if (!isJson(body)) throw new StatusError(400, 'BadRequest', 'the body is not an object');
  const { kind, apiVersion } = body;
  if ((kind !== undefined && kind !== type.kind) || (apiVersion !== undefined && apiVersion !== apiVersionOf(type)))
    throw new StatusError(400, 'BadRequest', `${String(apiVersion)} ${String(kind)} does not belong to ${type.plural}`);
  const metadata = isJson(body['metadata']) ? { ...body['metadata'] } : {};
  if (type.namespaced) {
    const named = metadata['namespace'];
    const namespace = target.namespace || (typeof named === 'string' && named !== '' ? named : 'default');
    if (named !== undefined && named !== '' && named !== namespace)
      throw new StatusError(
        400,
        'BadRequest',
        'the namespace of the object does not match the namespace of the request',
      );
    metadata['namespace'] = namespace;
  } else delete metadata['namespace'];
  return { ...body, kind: type.kind, apiVersion: apiVersionOf(type), metadata };
}

/** Creates an object. */
export function createObject(context: DefaultsContext, target: Target, body: unknown, dryRun: boolean): StoredObject {
  const object = prepare(target, body);
  const { metadata } = object;
  if (metadata['name'] === undefined && typeof metadata['generateName'] === 'string')
    metadata['name'] = generatedName(metadata['generateName']);
  const name = metadata['name'];
  if (typeof name !== 'string' || name.length > 253 || !NAME.test(name))
    throw new StatusError(422, 'Invalid', `${target.type.kind} "${String(name)}" is invalid: metadata.name`, {
      name: String(name),
      kind: target.type.kind,
    });
  const key = storeKey((metadata['namespace'] as string | undefined) ?? '', name);
  if (context.store.get(target.type, key) !== undefined)
    throw conflict(target, name, 'AlreadyExists', `${target.type.plural} "${name}" already exists`);
  metadata['uid'] = randomUUID();
  metadata['creationTimestamp'] = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  metadata['generation'] = 1;
  delete metadata['resourceVersion'];
  delete metadata['deletionTimestamp'];
  applyDefaults(context, target.type, object);
  const stored = object as unknown as StoredObject;
  return dryRun ? stored : context.store.put(target.type, key, stored);
}

/** Replaces an object, or its status alone. */
export function updateObject(context: DefaultsContext, target: Target, body: unknown, dryRun: boolean): StoredObject {
  const key = storeKey(target.namespace, target.name);
  const before = context.store.get(target.type, key);
  if (before === undefined) {
    // As the API does for Leases and Events; for the rest a PUT to nothing is a mistake.
    throw notFound(target);
  }
  const object = prepare(target, body);
  if (object.metadata['name'] !== target.name)
    throw new StatusError(400, 'BadRequest', 'the name of the object does not match the name on the URL');
  const version = object.metadata['resourceVersion'];
  if (version !== undefined && version !== '' && version !== before.metadata.resourceVersion)
    throw conflict(
      target,
      target.name,
      'Conflict',
      `Operation cannot be fulfilled on ${target.type.plural} "${target.name}": the object has been modified; please apply your changes to the latest version and try again`,
    );
  const uid = object.metadata['uid'];
  if (uid !== undefined && uid !== '' && uid !== before.metadata.uid)
    throw conflict(target, target.name, 'Conflict', `Precondition failed: UID in object meta: ${before.metadata.uid}`);
  return settle(context, target, key, before, object, dryRun);
}

function settle(
  context: DefaultsContext,
  target: Target,
  key: string,
  before: StoredObject,
  object: Json & { metadata: Json },
  dryRun: boolean,
): StoredObject {
  const { type } = target;
  let next: Json & { metadata: Json };
  if (target.subresource === 'status') next = { ...before, metadata: { ...before.metadata }, status: object['status'] };
  else {
    next = { ...object, metadata: { ...object.metadata } };
    if (type.status === true) {
      if (before['status'] === undefined) delete next['status'];
      else next['status'] = before['status'];
    }
    applyDefaults(context, type, next);
  }
  for (const field of [
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'resourceVersion',
    'generation',
  ]) {
    if (before.metadata[field] === undefined) delete next.metadata[field];
    else next.metadata[field] = before.metadata[field];
  }
  if (isDeepStrictEqual(next, before)) return before;
  if (!isDeepStrictEqual(next['spec'], before['spec']))
    next.metadata['generation'] = Number(before.metadata['generation'] ?? 1) + 1;
  const stored = next as unknown as StoredObject;
  if (dryRun) return stored;
  // The last finalizer of an object under deletion was its life.
  const put = context.store.put(type, key, stored);
  if (put.metadata.deletionTimestamp !== undefined && (put.metadata.finalizers ?? []).length === 0)
    return context.store.remove(type, key) ?? put;
  return put;
}

/** Patches an object, or its status alone. */
export function patchObject(
  context: DefaultsContext,
  target: Target,
  contentType: string,
  patch: unknown,
  dryRun: boolean,
): StoredObject {
  const key = storeKey(target.namespace, target.name);
  const before = context.store.get(target.type, key);
  if (before === undefined) throw notFound(target);
  const patched =
    contentType === 'application/merge-patch+json'
      ? mergePatch(before, patch)
      : contentType === 'application/strategic-merge-patch+json'
        ? strategicPatch(target.type.kind, before, patch)
        : contentType === 'application/json-patch+json'
          ? jsonPatch(before, patch)
          : undefined;
  if (patched === undefined)
    throw new StatusError(415, 'UnsupportedMediaType', `patches of ${contentType} are not served`);
  return updateObject(context, target, patched, dryRun);
}

/** Deletes an object: at once, or marked when something holds it. Returns what remains or was. */
export function deleteObject(
  context: DefaultsContext,
  target: Target,
  options: unknown,
  settings: { readonly gracefulPods: boolean; readonly dryRun: boolean },
): { object: StoredObject; gone: boolean } {
  const key = storeKey(target.namespace, target.name);
  const before = context.store.get(target.type, key);
  if (before === undefined) throw notFound(target);
  const wishes = isJson(options) ? options : {};
  const conditions = isJson(wishes['preconditions']) ? wishes['preconditions'] : {};
  if (
    (conditions['uid'] !== undefined && conditions['uid'] !== before.metadata.uid) ||
    (conditions['resourceVersion'] !== undefined && conditions['resourceVersion'] !== before.metadata.resourceVersion)
  )
    throw conflict(target, target.name, 'Conflict', 'Precondition failed');
  if (settings.dryRun) return { object: before, gone: true };
  const spec = isJson(before['spec']) ? before['spec'] : {};
  const asked = wishes['gracePeriodSeconds'] ?? spec['terminationGracePeriodSeconds'] ?? 30;
  const grace = settings.gracefulPods && target.type.kind === 'Pod' && spec['nodeName'] ? Number(asked) : 0;
  if ((before.metadata.finalizers ?? []).length === 0 && grace === 0)
    return { object: context.store.remove(target.type, key) ?? before, gone: true };
  if (before.metadata.deletionTimestamp !== undefined) return { object: before, gone: false };
  const metadata = {
    ...before.metadata,
    deletionTimestamp: new Date(Date.now() + grace * 1000).toISOString().replace(/\.\d+Z$/, 'Z'),
    deletionGracePeriodSeconds: grace,
  };
  const object = context.store.put(target.type, key, { ...before, metadata });
  if (grace > 0)
    setTimeout(
      () =>
        context.store.get(target.type, key)?.metadata.uid === object.metadata.uid &&
        context.store.remove(target.type, key),
      grace * 1000,
    ).unref();
  return { object, gone: false };
}
