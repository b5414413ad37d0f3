/**
 * Passwords and tokens are planted in every form in which the agent is given them, and searched for in everything it writes: log
 * at its loudest, plan, status, metrics, views, Events, the snapshot, the record of what was applied, a refused configuration,
 * and the report of a crash.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { applyObjects, createAgentNetns, until, type AgentNetns } from '../support/agent-netns.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const secrets = {
  flag: 'hunter2-flag-password',
  file: 'hunter2-file-password',
  annotation: 'hunter2-note-password',
  list: 'hunter2-list-password',
  token: 'hunter2-bearer-token',
};

let node: AgentNetns;
const seen = new Map<string, string>();
const flags = (): string[] => [
  '--metrics-port=9100',
  '--admin-port=9101',
  '--peer-router-ips=198.18.255.9',
  '--peer-router-asns=65000',
  `--peer-router-passwords=${base64(secrets.flag)}`,
  '-v10',
];

beforeAll(async () => {
  node = await createAgentNetns((text) =>
    text.replace(/(users:[\s\S]*?user:\s*)(\{\})?/, `$1{ token: ${secrets.token} }`),
  );
  applyObjects(node.server, node.own, {
    'kube-router.io/peers': `- {remoteip: 198.18.255.8, remoteasn: 65001, password: ${base64(secrets.annotation)}}`,
    'kube-router.io/peer.ips': '198.18.255.7',
    'kube-router.io/peer.asns': '65002',
    'kube-router.io/peer.passwords': base64(secrets.list),
  });
  writeFileSync(`${node.folder}/passwords`, `${base64(secrets.file)}\n`);
}, 60_000);
afterAll(() => node.close(), 60_000);

test('the token is used', () => expect(readFileSync(`${node.folder}/kubeconfig`, 'utf8')).toContain(secrets.token));

test('run, with passwords by flag', async () => {
  node.start(...flags());
  await node.ready();
  await until('a snapshot', () => readdirSync(`${node.folder}/state`).includes('snapshot.json'));
  seen.set('plan', (await node.call('plan', ...flags())).stdout);
  seen.set('plan json', (await node.call('plan', '--output=json', ...flags())).stdout);
  seen.set('status', (await node.call('status')).stdout);
  seen.set('status json', (await node.call('status', '--output=json')).stdout);
  seen.set('metrics', node.get(9100, '/metrics'));
  for (const view of ['status', 'peers', 'routes', 'advertisements', 'issues', 'passes', 'policies', 'services'])
    seen.set(`view ${view}`, node.get(9101, `/api/${view}`));
  seen.set('page', node.get(9101, '/'));
  seen.set('events', JSON.stringify(node.server.list('Event')));
  expect(seen.get('status json')).toContain('198.18.255.9');
  node.agent?.kill('SIGTERM');
  await node.ended();
}, 180_000);

test('run, with passwords by file and by annotation', async () => {
  node.start('-v10', '--admin-port=9101');
  await node.ready();
  await until('the peers of the annotation', () => node.get(9101, '/api/peers').includes('198.18.255.8'));
  seen.set('peers of the annotation', node.get(9101, '/api/peers'));
  node.agent?.kill('SIGTERM');
  await node.ended();
  const bad = await node.call(
    'plan',
    '--peer-router-ips=198.18.255.9',
    '--peer-router-asns=1,2',
    `--peer-router-passwords-file=${node.folder}/passwords`,
  );
  seen.set('refused', bad.stdout + bad.stderr);
  const wrong = await node.call('plan', `--peer-router-passwords=${secrets.flag}!`);
  seen.set('refused password', wrong.stdout + wrong.stderr);
  expect(bad.status).toBe(2);
  expect(wrong.status).toBe(2);
}, 180_000);

test('a crash', async () => {
  node.start(...flags());
  await node.ready();
  const before = node.log.length;
  // Node's own report and an uncaught error are what a crash leaves.
  node.agent?.kill('SIGABRT');
  await node.ended();
  seen.set('crash', node.log.slice(before));
  const crashed = await node.call('run', ...flags(), '--health-addr=203.0.113.77');
  expect(crashed.status).toBe(1);
  seen.set('fatal', crashed.stdout + crashed.stderr);
}, 180_000);

test('nowhere to be found', () => {
  seen.set('log', node.log);
  for (const name of ['run', 'state']) {
    for (const file of readdirSync(`${node.folder}/${name}`, { recursive: true, encoding: 'utf8' })) {
      if (!file.endsWith('.sock')) seen.set(file, readFileSync(`${node.folder}/${name}/${file}`, 'utf8'));
    }
  }
  expect([...seen.keys()]).toContain('snapshot.json');
  expect([...seen.keys()].some((name) => name.startsWith('owned.json'))).toBe(true);
  expect(seen.get('log')?.length).toBeGreaterThan(5000);
  const found = [...seen].flatMap(([place, text]) =>
    Object.entries(secrets)
      .filter(([, secret]) => text.includes(secret) || text.includes(base64(secret)))
      .map(([kind]) => `${kind} in ${place}`),
  );
  expect(found).toEqual([]);
});
