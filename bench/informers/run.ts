/**
 * Informers under load: 50,000 pods of 3 KB, then 1,000 changes a second; ours beside client-node's own, in the same run.
 * Exits with 1 when a bound of the table is not kept.
 */
import { fork, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PODS = Number(process.env['BENCH_PODS'] ?? 50_000);
const RATE = Number(process.env['BENCH_RATE'] ?? 1000);
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 30);

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Builds the package where it is older than its sources, and the client's JavaScript; its path. */
function buildClient(): string {
  const built = join(root, 'dist/informers/index.js');
  const changed = globSync('src/{informers,objects,net}/**/*.ts', { cwd: root }).map(
    (file) => statSync(join(root, file)).mtimeMs,
  );
  if (!existsSync(built) || statSync(built).mtimeMs < Math.max(...changed)) {
    const { status } = spawnSync('npm', ['run', '--silent', 'build:sdk'], { cwd: root, stdio: 'inherit' });
    if (status !== 0) throw new Error('npm run build:sdk failed');
  }
  const folder = join(root, 'dist/bench');
  mkdirSync(folder, { recursive: true });
  for (const name of ['client', 'pods']) {
    const source = readFileSync(new URL(`${name}.ts`, import.meta.url), 'utf8');
    writeFileSync(join(folder, `${name}.mjs`), stripTypeScriptTypes(source).replace("'./pods.ts'", "'./pods.mjs'"));
  }
  return join(folder, 'client.mjs');
}

const start = (file: string, args: readonly string[], execArgv: readonly string[] = []) =>
  fork(file, args, { execArgv: [...execArgv], serialization: 'json' });
const answer = async <Message>(child: ChildProcess, what: string): Promise<Message> => {
  const failed = once(child, 'exit').then(() => {
    throw new Error(`${what} ended`);
  });
  const late = new Promise<never>((_, reject) =>
    setTimeout(() => reject(new Error(`${what}: no answer in 180 s`)), 180_000).unref(),
  );
  const [message] = (await Promise.race([once(child, 'message'), failed, late])) as [Message];
  return message;
};

interface First {
  readonly syncMs: number;
  readonly peakRss: number;
  readonly retained: number;
  readonly blockMs: number;
}
interface Second {
  readonly delivered: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly peakRss: number;
  readonly blockMs: number;
}

const client = buildClient();
const server = start(
  fileURLToPath(new URL('server.ts', import.meta.url)),
  [String(PODS)],
  // A heap that need not grow: a collection of half a gigabyte stops the server for half a second, which is no informer's delay.
  ['--max-old-space-size=4096', '--initial-old-space-size=2048'],
);
const children = [server];
const results = new Map<string, First & { readonly second: Second; readonly sent: number }>();
try {
  const { url, bytesEach } = await answer<{ url: string; bytesEach: number }>(server, 'server');
  console.log(`${PODS} pods of ${bytesEach} bytes; ${RATE} changes a second for ${SECONDS} s; Node ${process.version}`);
  for (const side of ['ours', 'client-node']) {
    const child = start(client, [side, url, String(PODS)], ['--expose-gc']);
    children.push(child);
    const first = await answer<First>(child, side);
    server.send({ rate: RATE, seconds: SECONDS });
    const { sent } = await answer<{ sent: number }>(server, 'server');
    child.send({ report: sent });
    const second = await answer<Second>(child, side);
    child.send('end');
    results.set(side, { ...first, second, sent });
  }
} finally {
  for (const child of children) child.kill();
}

const [ours, theirs] = [results.get('ours'), results.get('client-node')];
if (ours === undefined || theirs === undefined) throw new Error('a side is missing');
const mb = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MB`;
const ms = (value: number) => `${value.toFixed(value < 100 ? 1 : 0)} ms`;
const rows: [string, string, string, string, boolean][] = [
  ['first sync', ms(ours.syncMs), ms(theirs.syncMs), 'no slower than client-node', ours.syncMs <= theirs.syncMs],
  ['peak RSS', mb(ours.peakRss), mb(theirs.peakRss), '≤ 150 MB', ours.peakRss <= 150 * 1024 * 1024],
  ['retained', mb(ours.retained), mb(theirs.retained), '≤ 25 MB', ours.retained <= 25 * 1024 * 1024],
  ['longest block', ms(ours.blockMs), ms(theirs.blockMs), '≤ 100 ms', ours.blockMs <= 100],
  [
    'delivered',
    `${ours.second.delivered}/${ours.sent}`,
    `${theirs.second.delivered}/${theirs.sent}`,
    'all',
    ours.second.delivered >= ours.sent,
  ],
  ['delivery p50', ms(ours.second.p50), ms(theirs.second.p50), '', true],
  ['delivery p99', ms(ours.second.p99), ms(theirs.second.p99), '≤ 50 ms', ours.second.p99 <= 50],
  ['peak RSS, after the changes', mb(ours.second.peakRss), mb(theirs.second.peakRss), '', true],
  ['longest block, changes', ms(ours.second.blockMs), ms(theirs.second.blockMs), '', true],
];
console.log('| measure | ours | client-node | bound | kept |\n|---|---|---|---|---|');
for (const [name, own, other, bound, kept] of rows)
  console.log(`| ${name} | ${own} | ${other} | ${bound} | ${kept ? 'yes' : 'NO'} |`);
const failed = rows.filter((row) => !row[4]).length;
console.log(`${rows.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
