/**
 * The built agent follows a folder of manifests while it runs: a file that appears, that breaks, that is mended, that goes. What breaks
 * is named with its place, its last good version stays in force and everything else is followed on.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createAgentNetns, until, type AgentNetns } from '../support/agent-netns.ts';

let node: AgentNetns;
const file = (name: string): string => `${node.folder}/manifests/${name}`;
/** Whether each port is open for the pod by a rule of its own. */
const open = (...ports: number[]): boolean[] => ports.map((port) => node.rules().includes(`--dport ${port} `));
const policy = (name: string, port: string): string => `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${name}, namespace: default }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress: [{ ports: [{ port: ${port} }] }]
`;

beforeAll(async () => {
  node = await createAgentNetns();
  mkdirSync(`${node.folder}/manifests`);
  writeFileSync(
    file('node.yaml'),
    `apiVersion: v1
kind: Node
metadata: { name: node1 }
spec: { podCIDRs: [10.77.1.0/24] }
status: { addresses: [{ type: InternalIP, address: ${node.own} }] }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: default, labels: { app: web } }
spec: { nodeName: node1, containers: [] }
status: { phase: Running, hostIP: ${node.own}, podIP: 10.77.1.5, podIPs: [{ ip: 10.77.1.5 }] }
`,
  );
  writeFileSync(file('one.yaml'), policy('one', '8081'));
  node.start(`--manifests=${node.folder}/manifests`, '--run-router=false');
  await node.ready();
}, 60_000);
afterAll(() => node.close(), 60_000);

test('a new file is in force soon, beside what was there', async () => {
  expect(open(8081, 8082)).toEqual([true, false]);
  writeFileSync(file('two.yaml'), policy('two', '8082'));
  await until('the second policy', () => open(8082)[0] === true, 5000);
  expect(open(8081, 8082)).toEqual([true, true]);
}, 20_000);

test('a file that breaks is named with its place and stays in force as it was; others are followed on', async () => {
  writeFileSync(file('two.yaml'), policy('two', '[ 8083'));
  await until('the issue', () => /NetworkPolicy default\/two: .*two\.yaml:6:\d+\)/.test(node.log), 5000);
  writeFileSync(file('one.yaml'), policy('one', '8084'));
  await until('the other file’s change', () => open(8084)[0] === true, 5000);
  expect(open(8081, 8082, 8083, 8084)).toEqual([false, true, false, true]);
}, 20_000);

test('a wrong type names its field; mended, the issue is gone and the file is in force', async () => {
  writeFileSync(file('two.yaml'), policy('two', '{ a: 1 }'));
  await until(
    'the issue',
    () => /NetworkPolicy default\/two: .*ports\[0\]\.port.*two\.yaml:6:\d+\)/.test(node.log),
    5000,
  );
  expect(open(8082)).toEqual([true]);
  writeFileSync(file('two.yaml'), policy('two', '8085'));
  await until('the mended policy', () => open(8085)[0] === true, 5000);
  expect(open(8082, 8085)).toEqual([false, true]);
  await until('the end of the issue', () => /default\/two.*"msg":"issue gone"/.test(node.log), 5000);
}, 20_000);

test('a file that goes takes its objects with it', async () => {
  rmSync(file('two.yaml'));
  await until('no second policy', () => open(8085)[0] === false, 5000);
  expect(open(8084)).toEqual([true]);
}, 20_000);
