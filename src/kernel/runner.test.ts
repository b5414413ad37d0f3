import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { CommandRecord } from './runner.ts';
import { createRunner } from './runner.ts';
import type { Command } from './types.ts';

const runner = createRunner();
const sh = (script: string, more: Partial<Command> = {}): Command => ({ file: 'sh', args: ['-c', script], ...more });

describe('run', () => {
  it('gives output, and treats chosen exit codes as an answer', async () => {
    const result = await runner.run(sh('cat; echo no >&2; exit 3', { input: 'yes\n', okExitCodes: [3] }));
    expect(result).toMatchObject({ exitCode: 3, stdout: 'yes\n', stderr: 'no\n' });
  });

  it('speaks C and searches system folders only, whatever the caller has set', async () => {
    const { stdout } = await runner.run({ file: 'env', args: [] });
    expect(stdout).toContain('LC_ALL=C\n');
    expect(stdout).toContain('PATH=/usr/sbin:/sbin:/usr/bin:/bin');
    expect(stdout).not.toContain('HOME=');
  });

  it('names the failing line with its text', async () => {
    const run = runner.run(
      sh('cat >/dev/null; echo "ipset v7.17: Error in line 2: bad" >&2; exit 1', { input: 'one\ntwo\nthree\n' }),
    );
    await expect(run).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      retryable: false,
      message: expect.stringContaining('exited with 1 at line 2 "two": ipset v7.17') as string,
      details: { exitCode: 1, line: 2, lineText: 'two' },
    });
  });

  it('keeps a secret input out of errors and records', async () => {
    const seen: CommandRecord[] = [];
    const subscription = runner.commands$.subscribe((record) => seen.push(record));
    const run = runner.run(
      sh('cat >/dev/null; echo "Error in line 1: bad" >&2; exit 1', { input: 'hunter2', secret: true }),
    );
    const error: unknown = await run.catch((cause: unknown) => cause);
    subscription.unsubscribe();
    expect(error).toMatchObject({ code: 'COMMAND_FAILED' });
    expect(JSON.stringify([seen, (error as Error).message, (error as { details: unknown }).details])).not.toContain(
      'hunter2',
    );
    expect(seen).toHaveLength(1);
  });

  it('survives a child that does not read its input (EPIPE)', async () => {
    const input = 'x'.repeat(5_000_000);
    await expect(runner.run(sh('exec 0<&-; exit 1', { input }))).rejects.toMatchObject({ details: { exitCode: 1 } });
    await expect(runner.run(sh('exec 0<&-; exit 0', { input }))).resolves.toMatchObject({ exitCode: 0 });
  });

  it('kills what takes too long, even what ignores SIGTERM', async () => {
    const strict = createRunner({ forceKillAfterMs: 100 });
    const begun = performance.now();
    const run = strict.run(sh('trap "" TERM; while :; do sleep 0.05; done', { timeoutMs: 100 }));
    await expect(run).rejects.toMatchObject({ code: 'COMMAND_TIMEOUT', retryable: true });
    expect(performance.now() - begun).toBeLessThan(5000);
  });

  it('ends with its signal: running, waiting or not yet begun', async () => {
    const narrow = createRunner({ concurrency: 1, forceKillAfterMs: 100 });
    const [first, second] = [new AbortController(), new AbortController()];
    const running = narrow.run(sh('sleep 5; true'), { signal: first.signal });
    const waiting = narrow.run(sh('true'), { signal: second.signal });
    const last = narrow.run(sh('echo done'));
    const ended = expect(waiting).rejects.toMatchObject({ code: 'ABORTED' });
    await sleep(50);
    second.abort();
    await ended;
    first.abort();
    // The grandchild holds the pipes for five seconds; nobody waits for it.
    const begun = performance.now();
    await expect(running).rejects.toMatchObject({ code: 'ABORTED' });
    expect(performance.now() - begun).toBeLessThan(2000);
    await expect(last).resolves.toMatchObject({ stdout: 'done\n' });
    await expect(narrow.run(sh('true'), { signal: first.signal })).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('runs no more than so many at once, in order', async () => {
    const narrow = createRunner({ concurrency: 2 });
    const active: number[] = [];
    let now = 0;
    const seen: string[] = [];
    await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (name) => {
        const promise = narrow.run(sh(`sleep 0.1; date +%s%N; echo ${name}`));
        const { stdout, durationMs } = await promise;
        active.push(durationMs);
        seen.push(stdout.trim().split('\n')[1]!);
        now++;
      }),
    );
    expect(now).toBe(4);
    expect(seen.slice(0, 2).sort()).toEqual(['a', 'b']);
  });

  it('says what is not installed, and what may not be run', async () => {
    await expect(runner.run({ file: 'krk-no-such-tool', args: [] })).rejects.toMatchObject({
      code: 'COMMAND_NOT_FOUND',
    });
    await expect(runner.run({ file: '/krk/no-such-tool', args: [] })).rejects.toMatchObject({
      code: 'COMMAND_NOT_FOUND',
    });
    await expect(runner.run(sh('echo "Operation not permitted" >&2; exit 1'))).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
    });
  });

  it('reports a child ended by someone else as a failure that may pass', async () => {
    await expect(runner.run(sh('kill -9 $$'))).rejects.toMatchObject({ code: 'COMMAND_FAILED', retryable: true });
  });

  it('refuses more output than its limit', async () => {
    const small = createRunner({ maxBufferBytes: 1000 });
    await expect(small.run(sh('yes | head -c 100000'))).rejects.toMatchObject({ code: 'COMMAND_FAILED' });
  });
});

describe('start', () => {
  it('talks with a child that stays, and ends it', async () => {
    let heard = '';
    const child = await runner.start({ file: 'cat', args: [] }, { onStdout: (text) => (heard += text) });
    await child.write('hello\n');
    await expect.poll(() => heard).toBe('hello\n');
    await child.close();
    await expect(child.exited).resolves.toMatchObject({ stdout: '' });
    await expect(child.write('more')).rejects.toMatchObject({ code: 'COMMAND_FAILED' });
  });

  it('tells of an end by itself', async () => {
    const child = await runner.start(sh('echo why >&2; exit 7'));
    await expect(child.exited).resolves.toMatchObject({ exitCode: 7, stderr: 'why\n' });
  });

  it('ends with its signal', async () => {
    const controller = new AbortController();
    const child = await runner.start({ file: 'sleep', args: ['60'] }, { signal: controller.signal });
    controller.abort();
    await expect(child.exited).resolves.toMatchObject({ exitCode: -1 });
  });
});

describe('the program around it', () => {
  it.each(['start', 'run'] as const)('says its farewell at SIGTERM while a child of %s() lives', async (how) => {
    const script = `
      import { createRunner } from ${JSON.stringify(new URL('./runner.ts', import.meta.url).href)};
      const runner = createRunner();
      const command = { file: 'sleep', args: ['3'], secret: true };
      const child = ${how === 'start' ? 'await runner.start(command)' : "runner.run(command, { signal: AbortSignal.timeout(700) }).catch(() => 'cut')"};
      setTimeout(() => console.log('ready'), 300);
      await new Promise((resolve) => process.once('SIGTERM', resolve));
      await new Promise((resolve) => setTimeout(resolve, 100));
      console.log('farewell');
      process.exit(0);`;
    const program = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    program.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (!said.includes('ready') && text.includes('ready')) program.kill('SIGTERM');
      said += text;
    });
    const [code, signal] = (await once(program, 'close')) as [number | null, string | null];
    expect({ code, signal, said }).toEqual({ code: 0, signal: null, said: 'ready\nfarewell\n' });
  });
});
