/**
 * Namespace: its labels, which policies select by.
 */
import { projectAs } from './metadata.ts';
import type { Projected } from './metadata.ts';
import { internString } from './intern.ts';
import type { NamespaceObject, StringMap } from './types.ts';
import { internMap } from './intern.ts';

const NAME_LABEL = 'kubernetes.io/metadata.name';

/** Projects a Namespace. The API server's immutable name label is set also for YAML that never saw an API server. */
export function projectNamespace(raw: unknown): Projected<NamespaceObject> {
  return projectAs('Namespace', 'cluster', raw, (base) => ({
    kind: 'Namespace' as const,
    ...base,
    name: internString(base.name),
    labels: withName(base.labels, base.name),
  }));
}

function withName(labels: StringMap, name: string): StringMap {
  return labels[NAME_LABEL] === name ? labels : internMap({ ...labels, [NAME_LABEL]: name });
}
