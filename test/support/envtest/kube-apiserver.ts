/**
 * A stand-in for kube-apiserver where there is none: takes the flags that the envtest suite gives, serves our test API server
 * over TLS, and keeps its objects over restarts and kills, as one on etcd does.
 * It shows that the suite starts, stops, kills and skips what it should; it cannot show what the real server does.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createApiServer } from '../../../src/testing/index.ts';
import type { Backup, StoredObject } from '../../../src/testing/index.ts';

const flag = (name: string): string => {
  const found = process.argv.find((one) => one.startsWith(`--${name}=`));
  if (found === undefined) throw new Error(`--${name} is missing`);
  return found.slice(name.length + 3);
};

const folder = flag('cert-dir');
const [key, cert, state] = ['apiserver.key', 'apiserver.crt', 'state.json'].map((name) => join(folder, name)) as [
  string,
  string,
  string,
];
if (!existsSync(cert)) {
  const curve = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=stand-in',
  ];
  execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', cert], { stdio: 'ignore' });
}
const token = readFileSync(flag('token-auth-file'), 'utf8').split(',')[0] ?? '';
const server = await createApiServer({
  port: Number(flag('secure-port')),
  tls: { key: readFileSync(key), cert: readFileSync(cert) },
  tokens: [token],
});

type Saved = { readonly version: number; readonly objects: readonly [string, [string, StoredObject][]][] };
if (existsSync(state)) {
  const { version, objects } = JSON.parse(readFileSync(state, 'utf8')) as Saved;
  const backup: Backup = { version, objects: objects.map(([type, table]) => [type, new Map(table)] as const) };
  server.restore(backup);
}
let saved = -1;
const save = () => {
  if (server.version === saved) return;
  const { version, objects } = server.backup();
  const text: Saved = { version, objects: objects.map(([type, table]) => [type, [...table]]) };
  writeFileSync(`${state}.new`, JSON.stringify(text));
  renameSync(`${state}.new`, state);
  saved = version;
};
setInterval(save, 5);
process.on('SIGTERM', () => {
  save();
  void server.close().then(() => process.exit(0));
});
