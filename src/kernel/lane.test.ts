import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fits, openLane } from './lane.ts';

const limits = { timeoutMs: 10_000, forceKillAfterMs: 200, maxBufferBytes: 1e6 };
const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C' };
const plain = fc.string({ unit: fc.constantFrom(...'ab\'"\\$`!*?~#&|;<>(){}[] \t\n-=%'), maxLength: 40 });

describe('a lane', () => {
  it('hands arguments and input over byte by byte', async () => {
    const lane = openLane('/bin/sh', env);
    await fc.assert(
      fc.asyncProperty(fc.array(plain, { maxLength: 3 }), fc.array(plain, { maxLength: 4 }), async (args, lines) => {
        const input = lines.map((line) => `${line}\n`).join('');
        const argv = ['/usr/bin/perl', '-e', 'print join("\\0", @ARGV), "\\0"; print <STDIN>', '--', ...args];
        expect(fits(argv, input)).toBe(true);
        const { exitCode, stdout } = await lane.run(argv, input, limits);
        expect(exitCode).toBe(0);
        expect(stdout).toBe(`${args.join('\0')}\0${input}`);
      }),
      { numRuns: 100 },
    );
  });

  it('keeps output without a closing newline, exit codes and the two channels apart', async () => {
    const lane = openLane('/bin/sh', env);
    const one = await lane.run(['/bin/sh', '-c', 'printf out; printf err >&2; exit 7'], '', limits);
    expect(one).toEqual({ exitCode: 7, stdout: 'out', stderr: 'err' });
    const none = await lane.run(['/bin/true'], '', limits);
    expect(none).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    const text = await lane.run(['/bin/sh', '-c', "printf '\\303\\244\\n'"], '', limits);
    expect(text.stdout).toBe('ä\n');
  });

  it('feeds more input than a pipe holds, also to a child that does not read it', async () => {
    const lane = openLane('/bin/sh', env);
    const input = `${'x'.repeat(99)}\n`.repeat(1000);
    expect((await lane.run(['/usr/bin/wc', '-c'], input, limits)).stdout.trim()).toBe('100000');
    expect(await lane.run(['/bin/true'], input, limits)).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    expect((await lane.run(['/bin/echo', 'next'], '', limits)).stdout).toBe('next\n');
  });

  it('says what does not fit: other bytes, an unfinished last line, much input', () => {
    expect(fits(['/bin/echo', 'ä'], '')).toBe(false);
    expect(fits(['/bin/cat'], 'no newline')).toBe(false);
    expect(fits(['/bin/cat'], 'nul\0\n')).toBe(false);
    expect(fits(['/bin/cat'], 'x\n'.repeat(100_000))).toBe(false);
    expect(fits(['/bin/cat'], 'x\n')).toBe(true);
  });

  it('ends everything that a command started when its time is over, and is closed then', async () => {
    const lane = openLane('/bin/sh', env);
    const mark = `0.${process.pid}77`;
    const script = `trap "" TERM; while :; do sleep ${mark}; done & wait`;
    const result = await lane.run(['/bin/sh', '-c', script], '', { ...limits, timeoutMs: 200 });
    expect(result.ended).toBe('timeout');
    expect(lane.open).toBe(false);
    await sleep(100);
    const { stdout } = await promisify(execFile)('ps', ['-eo', 'args']);
    expect(stdout).not.toContain(`sleep ${mark}`);
  });

  it('tells of a shell that ended under its command, and of a signal that ended the command', async () => {
    const lane = openLane('/bin/sh', env);
    const killed = await lane.run(['/bin/sh', '-c', 'kill -9 $$'], '', limits);
    expect(killed).toMatchObject({ why: 'signal 9', stdout: '' });
    expect(lane.open).toBe(true);
    const broken = await lane.run(['/bin/sh', '-c', 'kill -9 $PPID; sleep 5'], '', limits);
    expect(broken).toMatchObject({ why: 'its shell has ended' });
    expect(lane.open).toBe(false);
  });

  it('ends at once by a signal that has come before it', async () => {
    const lane = openLane('/bin/sh', env);
    const begun = performance.now();
    const result = await lane.run(['/bin/sleep', '5'], '', { ...limits, signal: AbortSignal.abort() });
    expect(result.ended).toBe('aborted');
    expect(performance.now() - begun).toBeLessThan(4000);
  });

  it('does not keep its process running', async () => {
    const source = `import { openLane } from ${JSON.stringify(new URL('lane.ts', import.meta.url).href)};
      const lane = openLane('/bin/sh', {});
      console.log((await lane.run(['/bin/echo', 'ran'], '', ${JSON.stringify(limits)})).stdout);`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', source], {
      timeout: 10_000,
    });
    expect(stdout).toBe('ran\n\n');
  });
});
