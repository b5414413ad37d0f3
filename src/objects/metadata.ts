/**
 * What every kind shares: the name under which issues are reported, and the common fields of `metadata`.
 * An object without a usable name cannot be told from others, so it is the one thing that is refused as a whole.
 */
import type { Issue } from '../net/values.ts';
import { isJson, mapAt, note, objectAt, show, textAt } from './fields.ts';
import type { Json, Report } from './fields.ts';
import { internString, settleString } from './intern.ts';
import type { ObjectBase, ObjectKey, ObjectKind } from './types.ts';

/** What a projection gives: the object where it could be read, and what was wrong with it. */
export interface Projected<Kind> {
  readonly object?: Kind;
  readonly issues: readonly Issue[];
}

const NO_ISSUES: readonly Issue[] = Object.freeze([]);
const NAME = /^[a-z0-9]([-a-z0-9.:]*[a-z0-9])?$/;
const NAMESPACE = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const keepAnnotation = (key: string) => key.startsWith('kube-router.io/');

/** `namespace/name`, or `name` for cluster-scoped kinds. */
export function objectKey(object: { readonly namespace: string; readonly name: string }): ObjectKey {
  return object.namespace === '' ? object.name : `${object.namespace}/${object.name}`;
}

/** The name of an object in issues: `Kind namespace/name` or `Kind name`. */
export function objectName(kind: string, object: { readonly namespace: string; readonly name: string }): string {
  return `${kind} ${objectKey(object)}`;
}

/** Runs one kind's projection with the common fields already read. Never throws. */
export function projectAs<Kind extends ObjectBase>(
  kind: ObjectKind,
  scope: 'cluster' | 'namespace',
  raw: unknown,
  build: (base: ObjectBase, raw: Json, report: Report) => Kind | undefined,
): Projected<Kind> {
  const report: Report = { object: kind, issues: [] };
  if (!isJson(raw)) {
    note(report, '', `${show(raw)} is not an object; ignored`);
    return { issues: report.issues };
  }
  const base = readMetadata(kind, scope, raw, report);
  const object = base === undefined ? undefined : build(base, raw, report);
  const issues = report.issues.length === 0 ? NO_ISSUES : report.issues;
  return object === undefined ? { issues } : { object, issues };
}

function readMetadata(
  kind: ObjectKind,
  scope: 'cluster' | 'namespace',
  raw: Json,
  report: Report,
): ObjectBase | undefined {
  const metadata = objectAt(report, raw, 'metadata', 'metadata');
  const name = metadata['name'];
  if (typeof name !== 'string' || name.length > 253 || !NAME.test(name)) {
    if (typeof name === 'string') report.object = `${kind} ${show(name).slice(1, -1)}`;
    const why = name === undefined ? 'is missing' : `${show(name)} is not a DNS subdomain name`;
    note(report, 'metadata.name', `${why}; the object is ignored`);
    return undefined;
  }
  let namespace = '';
  if (scope === 'namespace') {
    namespace = textAt(report, metadata, 'namespace', 'metadata.namespace', 'default') || 'default';
    if (namespace.length > 63 || !NAMESPACE.test(namespace)) {
      report.object = objectName(kind, { namespace: show(namespace).slice(1, -1), name });
      note(report, 'metadata.namespace', `${show(namespace)} is not a DNS label; the object is ignored`);
      return undefined;
    }
    namespace = internString(namespace);
  }
  report.object = objectName(kind, { namespace, name });
  const base = {
    namespace,
    name: settleString(name),
    uid: settleString(textAt(report, metadata, 'uid', 'metadata.uid')),
    labels: mapAt(report, metadata, 'labels', 'metadata.labels'),
    annotations: mapAt(report, metadata, 'annotations', 'metadata.annotations', keepAnnotation),
  };
  const deleted = metadata['deletionTimestamp'];
  if (deleted === undefined || deleted === null) return base;
  const deletedAt = typeof deleted === 'string' ? Date.parse(deleted) : Number.NaN;
  if (Number.isFinite(deletedAt)) return { ...base, deletedAt };
  note(report, 'metadata.deletionTimestamp', `${show(deleted)} is not a time; read as long ago`);
  // Zero rather than the clock: a projection is a function of its input alone.
  return { ...base, deletedAt: 0 };
}
