/** Dashboard and alerts name only metrics that exist, with labels that they have, and the written file is current. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { catalog } from '../src/metrics/catalog.ts';
import { dashboard } from './dashboard.ts';

const read = (file: string): string => readFileSync(new URL(file, import.meta.url), 'utf8');
const alerts = parse(read('alerts.yaml')) as { groups: { rules: { alert: string; expr: string }[] }[] };
const panels = (dashboard() as { panels: { title: string; targets?: { expr: string }[] }[] }).panels;

const queries: readonly (readonly [string, string])[] = [
  ...alerts.groups.flatMap(({ rules }) => rules.map(({ alert, expr }) => [alert, expr] as const)),
  ...panels.flatMap(({ title, targets }) => (targets ?? []).map(({ expr }) => [title, expr] as const)),
];

test.each(queries)('%s', (_name, expr) => {
  const used = [...expr.matchAll(/(kube_router_\w+)(?:\{([^}]*)\})?/g)];
  expect(used.length).toBeGreaterThan(0);
  for (const [, name = '', selector = ''] of used) {
    const base = name.replace(/_bucket$/, '');
    const spec = Object.hasOwn(catalog, base) ? catalog[base as keyof typeof catalog] : undefined;
    expect(spec, name).toBeDefined();
    const labels = [...selector.matchAll(/(\w+)\s*[=!]/g)]
      .map(([, label]) => label)
      .filter((label) => label !== 'instance');
    for (const label of labels) expect(spec?.labels, `${name}{${label}}`).toContain(label);
  }
});

test('dashboard.json is what dashboard.ts makes', () => {
  expect(JSON.parse(read('dashboard.json'))).toEqual(dashboard());
});
