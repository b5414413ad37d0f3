/** The configuration file: what is read, and which place an error names. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { commandLineOnly, flagNames } from '../flags/table.ts';
import { configSchema, parseConfigFile } from './file.ts';

test.each([
  ['a: [', 'c.yaml:1:5: Flow sequence in block collection must be'],
  ['- x', 'c.yaml:1:1: the file is not a mapping'],
  ['cluster-asn: 64512\nno-such: 1', "c.yaml:2:1: 'no-such' is not a configuration key"],
  ['once: true', "c.yaml:1:1: 'once' is not a configuration key"],
  ['cluster-asn: 1\nclusterAsn: 2', "c.yaml:2:1: 'clusterAsn' is set twice"],
  ['cluster-asn:', 'c.yaml:1:13: cluster-asn: expected one value'],
  ['cluster-asn: [1, 2]', 'c.yaml:1:14: cluster-asn: expected one value'],
  ['peer-router-ips: {a: b}', 'c.yaml:1:18: peer-router-ips: expected a list'],
  [
    'loadBalancer:\n  pools:\n    - name: A',
    'c.yaml:3:13: loadBalancer.pools.0.name: a pool name is a lower-case DNS label',
  ],
  ['loadBalancer:\n  pools:\n    - name: a\n      cidr: x', 'c.yaml:4:13: loadBalancer.pools.0.cidr:'],
])('%j', (text, reason) => expect(() => parseConfigFile(text, 'c.yaml')).toThrow(reason));

test('pools get their defaults', () => {
  const { pools } = parseConfigFile('loadBalancer: {pools: [{name: a, cidrs: [10.0.0.0/24]}]}', 'c.yaml');
  expect(pools).toEqual([{ name: 'a', cidrs: ['10.0.0.0/24'], ranges: [], autoAssign: true }]);
});

test('an empty file says nothing', () => expect(parseConfigFile('# nothing\n', 'c.yaml').given.size).toBe(0));

test('the schema knows every flag that a file may set', () => {
  const { properties } = configSchema() as { properties: Record<string, { default?: unknown }> };
  const missing = flagNames.filter((name) => !commandLineOnly.has(name) && properties[name] === undefined);
  expect(missing).toEqual([]);
  expect(properties['ipvs-sync-period']?.default).toBe('5m0s');
  expect(properties['clusterAsn']).toEqual({ $ref: '#/properties/cluster-asn' });
});

test('the published schema is what the table says; WRITE_SCHEMA writes it anew', () => {
  const path = fileURLToPath(new URL('../../config.schema.json', import.meta.url));
  if (process.env['WRITE_SCHEMA'] !== undefined) writeFileSync(path, JSON.stringify(configSchema(), undefined, 2));
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(JSON.parse(JSON.stringify(configSchema())));
});
