/**
 * The three patches of the API: merge (RFC 7386), JSON (RFC 6902), and strategic merge, which joins lists by their merge keys.
 * Merge keys are those of the built-in types' `patchMergeKey` tags; any other list is replaced as a whole.
 */
import { isDeepStrictEqual } from 'node:util';
import { StatusError } from './errors.ts';

type Json = Record<string, unknown>;

const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Applies a JSON merge patch (RFC 7386). */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isJson(patch)) return patch;
  const result: Json = isJson(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/** Merge keys by the kind and the last two field names, or the last one. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  'Service.spec.ports': 'port',
  'Pod.containers.ports': 'containerPort',
  'Pod.initContainers.ports': 'containerPort',
  containers: 'name',
  initContainers: 'name',
  env: 'name',
  volumes: 'name',
  volumeMounts: 'mountPath',
  imagePullSecrets: 'name',
  conditions: 'type',
  'Node.status.addresses': 'type',
  'Node.spec.taints': 'key',
  podIPs: 'ip',
  hostAliases: 'ip',
  ownerReferences: 'uid',
};
const PRIMITIVE_MERGE = new Set(['finalizers', 'podCIDRs']);

/** Applies a strategic merge patch to an object of a kind. */
export function strategicPatch(kind: string, target: unknown, patch: unknown): unknown {
  return strategic(kind, [], target, patch);
}

function strategic(kind: string, path: readonly string[], target: unknown, patch: unknown): unknown {
  if (!isJson(patch)) return patch;
  if (patch['$patch'] === 'replace') return withoutDirectives(patch);
  if (patch['$patch'] === 'delete') return undefined;
  const result: Json = isJson(target) ? { ...target } : {};
  const retained = patch['$retainKeys'];
  if (Array.isArray(retained)) for (const key of Object.keys(result)) if (!retained.includes(key)) delete result[key];
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$deleteFromPrimitiveList/')) {
      const field = key.slice('$deleteFromPrimitiveList/'.length);
      const gone = value as unknown[];
      if (Array.isArray(result[field])) result[field] = result[field].filter((one) => !gone.includes(one));
    } else if (key.startsWith('$')) continue;
    else if (value === null) delete result[key];
    else if (Array.isArray(value)) result[key] = joinLists(kind, [...path, key], result[key], value);
    else {
      const next = strategic(kind, [...path, key], result[key], value);
      if (next === undefined) delete result[key];
      else result[key] = next;
    }
  }
  for (const [key, value] of Object.entries(patch)) {
    if (!key.startsWith('$setElementOrder/') || !Array.isArray(value)) continue;
    const field = key.slice('$setElementOrder/'.length);
    if (Array.isArray(result[field])) result[field] = reorder(result[field], value, mergeKeyOf(kind, [...path, field]));
  }
  return result;
}

function mergeKeyOf(kind: string, path: readonly string[]): string | undefined {
  const last = path.at(-1) ?? '';
  return MERGE_KEYS[`${kind}.${path.at(-2)}.${last}`] ?? MERGE_KEYS[last];
}

function joinLists(kind: string, path: readonly string[], target: unknown, patch: unknown[]): unknown[] {
  const key = mergeKeyOf(kind, path);
  const old: unknown[] = Array.isArray(target) ? target : [];
  if (key === undefined) {
    if (!PRIMITIVE_MERGE.has(path.at(-1) ?? '')) return patch.map((one) => withoutDirectives(one));
    return [...old, ...patch.filter((one) => !old.includes(one))];
  }
  if (patch.some((one) => isJson(one) && one['$patch'] === 'replace' && Object.keys(one).length === 1))
    return patch.filter((one) => !(isJson(one) && '$patch' in one));
  const result = [...old];
  for (const one of patch) {
    if (!isJson(one)) continue;
    const index = result.findIndex((other) => isJson(other) && other[key] === one[key]);
    if (one['$patch'] === 'delete') {
      if (index >= 0) result.splice(index, 1);
    } else if (index < 0) result.push(withoutDirectives(one));
    else result[index] = strategic(kind, path, result[index], one);
  }
  return result;
}

function reorder(list: unknown[], order: unknown[], key: string | undefined): unknown[] {
  const rank = (one: unknown) => {
    const value = key !== undefined && isJson(one) ? one[key] : one;
    const at = order.findIndex((other) => (key !== undefined && isJson(other) ? other[key] : other) === value);
    return at < 0 ? order.length : at;
  };
  return list
    .map((one, index) => ({ one, index, rank: rank(one) }))
    .sort((a, b) => a.rank - b.rank || a.index - b.index)
    .map(({ one }) => one);
}

function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((one) => withoutDirectives(one));
  if (!isJson(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, one]) => !key.startsWith('$') && one !== null)
      .map(([key, one]) => [key, withoutDirectives(one)]),
  );
}

/** Applies a JSON patch (RFC 6902). Throws a 422 when an operation cannot be done. */
export function jsonPatch(target: unknown, operations: unknown): unknown {
  if (!Array.isArray(operations)) throw invalid('a JSON patch is a list');
  let result: unknown = structuredClone(target);
  for (const operation of operations as readonly unknown[]) {
    if (!isJson(operation) || typeof operation['path'] !== 'string') throw invalid('an operation has no path');
    const { op, path, from, value } = operation;
    const steps = pointer(path);
    if (op === 'add') result = edit(result, steps, () => value, 'add');
    else if (op === 'replace') result = edit(result, steps, () => value, 'replace');
    else if (op === 'remove') result = edit(result, steps, undefined, 'remove');
    else if (op === 'test') {
      if (!isDeepStrictEqual(read(result, steps), value)) throw invalid(`test failed at ${path}`);
    } else if ((op === 'copy' || op === 'move') && typeof from === 'string') {
      const moved = structuredClone(read(result, pointer(from)));
      if (op === 'move') result = edit(result, pointer(from), undefined, 'remove');
      result = edit(result, steps, () => moved, 'add');
    } else throw invalid(`unknown operation ${JSON.stringify(op)}`);
  }
  return result;
}

const invalid = (message: string) => new StatusError(422, 'Invalid', `the server rejected our request: ${message}`);

function pointer(path: string): string[] {
  if (path === '') return [];
  if (!path.startsWith('/')) throw invalid(`bad path ${path}`);
  return path
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function read(root: unknown, steps: readonly string[]): unknown {
  let value = root;
  for (const step of steps) {
    if (Array.isArray(value)) value = value[Number(step)];
    else if (isJson(value)) value = value[step];
    else throw invalid(`nothing at /${steps.join('/')}`);
  }
  return value;
}

function edit(
  root: unknown,
  steps: readonly string[],
  make: (() => unknown) | undefined,
  op: 'add' | 'replace' | 'remove',
): unknown {
  const last = steps.at(-1);
  if (last === undefined) return make?.();
  const parent = read(root, steps.slice(0, -1));
  const path = `/${steps.join('/')}`;
  if (Array.isArray(parent)) {
    const index = last === '-' ? parent.length : Number(last);
    if (!Number.isInteger(index) || index < 0 || index > parent.length || (op !== 'add' && index === parent.length))
      throw invalid(`nothing at ${path}`);
    if (op === 'remove') parent.splice(index, 1);
    else parent.splice(index, op === 'replace' ? 1 : 0, make?.());
  } else if (isJson(parent)) {
    if (op !== 'add' && !(last in parent)) throw invalid(`nothing at ${path}`);
    if (op === 'remove') delete parent[last];
    else parent[last] = make?.();
  } else throw invalid(`nothing at ${path}`);
  return root;
}
