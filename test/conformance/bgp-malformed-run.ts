/**
 * `node test/conformance/bgp-malformed-run.ts [speaker…]`: the table of malformed and odd UPDATEs against whole speakers, ours and
 * Debian's BIRD, FRR and GoBGP, judged from what a third peer sees. Prints each speaker's score and every case that it got wrong;
 * fails when ours got one wrong.
 */
import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Subject, SubjectName } from '../../bench/bgp/subjects.ts';
import { SUBJECTS, startSubject } from '../../bench/bgp/subjects.ts';
import type { MalformedCase } from './bgp-malformed.ts';
import { malformedUpdates } from './bgp-malformed.ts';
import type { Observation, TesterJob } from './bgp-malformed-job.ts';
import { NO_ANSWER } from './bgp-malformed-job.ts';

const PREFIX = 'krbm';
const TARGET = '10.99.0.1';
const THIRD = '10.99.0.3';
const BATCH = 25;
const ip = (...args: readonly string[]): string =>
  execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
/** Each case has a sender of its own, so that no speaker's patience with a faulty neighbour matters. */
const senderOf = (index: number): string => `10.99.${2 + (index >> 7)}.${(index & 127) + 1}`;

function teardown(): void {
  for (const name of [`${PREFIX}-s`, `${PREFIX}-t`]) {
    try {
      ip('netns', 'del', name);
    } catch {
      // Not there.
    }
  }
}

function setup(): void {
  teardown();
  ip('netns', 'add', `${PREFIX}-s`);
  ip('netns', 'add', `${PREFIX}-t`);
  ip('-n', `${PREFIX}-s`, 'link', 'add', 'krms', 'type', 'veth', 'peer', 'name', 'krmt', 'netns', `${PREFIX}-t`);
  ip('-n', `${PREFIX}-s`, 'link', 'set', 'lo', 'up');
  ip('-n', `${PREFIX}-t`, 'link', 'set', 'lo', 'up');
  ip('-n', `${PREFIX}-s`, 'addr', 'add', `${TARGET}/16`, 'dev', 'krms');
  ip('-n', `${PREFIX}-s`, 'addr', 'add', 'fd99::1/64', 'dev', 'krms', 'nodad');
  const addresses = [THIRD, ...malformedUpdates.map((_, index) => senderOf(index))];
  for (const address of addresses) ip('-n', `${PREFIX}-t`, 'addr', 'add', `${address}/16`, 'dev', 'krmt');
  ip('-n', `${PREFIX}-s`, 'link', 'set', 'krms', 'up');
  ip('-n', `${PREFIX}-t`, 'link', 'set', 'krmt', 'up');
}

const start = (name: SubjectName): Promise<Subject> =>
  startSubject(name, {
    netns: `${PREFIX}-s`,
    address: TARGET,
    neighbours: [
      { address: THIRD, asn: 65002 },
      ...malformedUpdates.map((one, index) => ({
        address: senderOf(index),
        asn: one.session === 'ibgp' ? 65000 : 65001,
      })),
    ],
    reflector: false,
    families: 2,
  });

function alive({ pid }: Subject): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Runs cases; undefined when the speaker died of them, or answers nobody any more. */
async function run(subject: Subject, indices: readonly number[]): Promise<readonly Observation[] | undefined> {
  const job: TesterJob = {
    target: TARGET,
    third: THIRD,
    cases: indices.map((index) => ({ index, address: senderOf(index) })),
  };
  const tester = fileURLToPath(new URL('bgp-malformed-tester.ts', import.meta.url));
  const args = ['netns', 'exec', `${PREFIX}-t`, process.execPath, tester, JSON.stringify(job)];
  const said = await new Promise<string | undefined>((resolve, reject) => {
    execFile('ip', args, { encoding: 'utf8', timeout: 120_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else if (error.killed === true || error.code === NO_ANSWER || !alive(subject)) resolve(undefined);
      else reject(new Error(`the tester failed: ${error.message} ${stderr}`));
    });
  });
  return said === undefined || !alive(subject) ? undefined : (JSON.parse(said) as Observation[]);
}

async function observe(name: SubjectName): Promise<ReadonlyMap<number, Observation | 'gone'>> {
  const seen = new Map<number, Observation | 'gone'>();
  let subject = await start(name);
  try {
    const queue: number[][] = [];
    for (let from = 0; from < malformedUpdates.length; from += BATCH) {
      queue.push(malformedUpdates.map((_, index) => index).slice(from, from + BATCH));
    }
    for (let batch = queue.shift(); batch !== undefined; batch = queue.shift()) {
      const found = await run(subject, batch);
      if (found !== undefined) {
        for (const one of found) seen.set(one.index, one);
        continue;
      }
      await subject.stop();
      subject = await start(name);
      // One of them killed it, or hung it: halves, until it is found.
      if (batch.length === 1) seen.set(batch[0]!, 'gone');
      else queue.unshift(batch.slice(0, batch.length >> 1), batch.slice(batch.length >> 1));
    }
  } finally {
    await subject.stop();
  }
  return seen;
}

const SEEN = { accept: 'replaced', discard: 'replaced', withdraw: 'withdrawn', reset: 'reset' } as const;

/** What is wrong with an answer; undefined when it is right. */
function fault(one: MalformedCase, answer: Observation | 'gone' | undefined): string | undefined {
  if (answer === undefined || answer === 'gone') return 'the speaker died, or answered nobody any more';
  const allowed: readonly string[] = [one.seen, ...one.alsoAllowed.map((other) => SEEN[other])];
  if (!allowed.includes(answer.seen)) return answer.seen;
  if (answer.seen !== 'reset' && !answer.sentinel) return `${answer.seen}, then silent`;
  if (answer.seen !== 'replaced') return undefined;
  const leaked = one.absent.filter((code) => answer.attributes[code] !== undefined);
  if (leaked.length > 0) return `passed on attribute ${leaked.join(', ')}`;
  if (one.forwarded === undefined) return undefined;
  const wanted = one.forwarded.replace(/\s/g, '').toLowerCase();
  return Object.values(answer.attributes).includes(wanted) ? undefined : 'did not pass the attribute on as it must';
}

const wanted = process.argv.slice(2).filter((one): one is SubjectName => (SUBJECTS as readonly string[]).includes(one));
const scores: string[] = [];
let failed = 0;
setup();
try {
  for (const name of wanted.length > 0 ? wanted : SUBJECTS) {
    const answers = await observe(name);
    const faults = malformedUpdates.flatMap((one, index) => {
      const wrong = fault(one, answers.get(index));
      return wrong === undefined
        ? []
        : [`  ${name}: ${one.group}: ${one.name} (${one.rfc}): ${wrong}, not ${one.seen}`];
    });
    process.stdout.write(faults.map((line) => `${line}\n`).join(''));
    const right = malformedUpdates.length - faults.length;
    scores.push(`${name.padEnd(6)} ${right} of ${malformedUpdates.length} right`);
    if (name === 'ours') failed = faults.length;
  }
} finally {
  teardown();
}
process.stdout.write(`${scores.join('\n')}\n`);
process.exit(failed === 0 ? 0 : 1);
