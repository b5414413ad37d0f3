/**
 * What a generic source must know of a kind: where the API serves it and how its JSON becomes a value.
 * The kinds of this package are made from the table in objects; callers bring their own for custom resources.
 */
import { KINDS, MASKS, project } from '../../objects/index.ts';
import type { FieldMask, Projected } from '../../objects/index.ts';
import type { ObjectKind, ObjectKinds, PodObject } from '../../objects/types.ts';
import type { SelectOptions } from '../source.ts';
import { createMaskedParser } from './masked-json.ts';
import type { Mask, MaskedParser } from './masked-json.ts';

/** A kind of the API and its projection. */
export interface KindSpec<Item> {
  readonly kind: string;
  /** `v1` or `group/version`. */
  readonly apiVersion: string;
  /** Name in URLs. */
  readonly plural: string;
  readonly namespaced: boolean;
  /** A custom resource: a server that does not know it (404) holds none of it, and is asked again now and then. @defaultValue false */
  readonly custom?: boolean;
  /** Reads one object; what it throws becomes an issue of that object. */
  readonly project: (raw: unknown) => Projected<Item>;
  /** The fields that `project` reads; the others never become objects. What is read so is shared and frozen. @defaultValue everything */
  readonly mask?: FieldMask;
}

/**
 * The spec of Pods for a program that works on one node. Of the others' pods `uid` is empty and `containerIds` are left out:
 * only a pod's own node reads them, and they are a third of what a pod costs.
 */
export function podSpecFor(nodeName: string): KindSpec<PodObject> {
  const spec = specOf('Pod');
  return {
    ...spec,
    project(raw) {
      const projected = spec.project(raw);
      const object = projected.object as { -readonly [Field in keyof PodObject]: PodObject[Field] } | undefined;
      if (object === undefined || object.nodeName === nodeName) return projected;
      // Changed in place, for nobody else has seen it yet: a copy would be 50,000 copies at a first list.
      object.uid = '';
      object.containerIds = NO_IDS;
      return projected;
    },
  };
}

const NO_IDS: readonly string[] = Object.freeze([]);

/** The spec of a projected kind. */
export function specOf<Kind extends ObjectKind>(kind: Kind): KindSpec<ObjectKinds[Kind]> {
  return { kind, ...KINDS[kind], mask: MASKS[kind], project: (raw) => project(kind, raw) };
}

/** What every object of the API is known by, and what a watch says of itself. */
const ALWAYS = { name: true, namespace: true, resourceVersion: true } as const;
const EVENT = { code: true, reason: true, message: true, details: true } as const;

/** Parsers of one kind's objects and of the events of its watch. */
export function parsersOf(spec: Pick<KindSpec<unknown>, 'mask'>): {
  readonly object: MaskedParser;
  readonly event: MaskedParser;
} {
  const { mask = true } = spec;
  if (mask === true) return { object: createMaskedParser(true), event: createMaskedParser(true) };
  const own = mask['metadata'] ?? {};
  const metadata: Mask = own === true ? true : { ...own, ...ALWAYS };
  const annotations = metadata === true ? true : metadata['annotations'];
  const marked: Mask =
    metadata === true || annotations === true
      ? metadata
      : { ...metadata, annotations: { ...annotations, 'k8s.io/*': true } };
  return {
    object: createMaskedParser({ ...mask, metadata }),
    event: createMaskedParser({ type: true, object: { ...EVENT, ...mask, metadata: marked } }),
  };
}

/** The path of a kind's collection, or of one object in it. */
export function pathOf(
  spec: Pick<KindSpec<unknown>, 'apiVersion' | 'plural' | 'namespaced'>,
  namespace = '',
  name = '',
): string {
  const root = spec.apiVersion.includes('/') ? `/apis/${spec.apiVersion}` : `/api/${spec.apiVersion}`;
  const within = spec.namespaced && namespace !== '' ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${within}/${spec.plural}${name === '' ? '' : `/${encodeURIComponent(name)}`}`;
}

/** The query part that selects. */
export function queryOf(select: SelectOptions): Record<string, string | undefined> {
  return { labelSelector: select.labelSelector, fieldSelector: select.fieldSelector };
}
