import { expect, it } from 'vitest';
import { createRecordingRunner } from './recording-runner.ts';

it('remembers commands with their input and answers from its script, the latest answer first', async () => {
  const runner = createRecordingRunner([['ipset', 'old\n']]);
  runner.when('ipset save', 'new\n');
  runner.when(/^ip /, (command) => command.args.join());
  expect((await runner.run({ file: 'ipset', args: ['list'] })).stdout).toBe('old\n');
  expect((await runner.run({ file: 'ipset', args: ['save'] })).stdout).toBe('new\n');
  expect((await runner.run({ file: 'ip', args: ['a', 'b'], netns: '/run/netns/x' })).stdout).toBe('a,b');
  expect((await runner.run({ file: 'nft', args: ['-f', '-'], input: 'one\ntwo\n' })).stdout).toBe('');
  expect(runner.text()).toBe('ipset list\nipset save\n[/run/netns/x] ip a b\nnft -f -\none\ntwo');
});

it('fails as the real runner does', async () => {
  const runner = createRecordingRunner([['ipset', { exitCode: 1, stderr: 'ipset v7.17: Error in line 2: bad\n' }]]);
  await expect(runner.run({ file: 'ipset', args: [], input: 'a\nb\n' })).rejects.toMatchObject({
    code: 'COMMAND_FAILED',
    details: { line: 2, lineText: 'b' },
  });
  await expect(runner.run({ file: 'ipset', args: [], okExitCodes: [1] })).resolves.toMatchObject({ exitCode: 1 });
});

it('fails at the n-th command from now, once or from then on', async () => {
  const runner = createRecordingRunner();
  const outcome = async (): Promise<string> =>
    runner.run({ file: 'true', args: [] }).then(
      () => 'ok',
      () => 'failed',
    );
  runner.failAt(2);
  expect([await outcome(), await outcome(), await outcome()]).toEqual(['ok', 'failed', 'ok']);
  runner.failAt(1, { after: 'all' });
  expect([await outcome(), await outcome()]).toEqual(['failed', 'failed']);
  expect(runner.commands).toHaveLength(5);
});

it('plays the far side of a process', async () => {
  const runner = createRecordingRunner();
  runner.whenStarted('cat', (process) => process.onInput((text) => process.stdout(text.toUpperCase())));
  let heard = '';
  const child = await runner.start({ file: 'cat', args: [] }, { onStdout: (text) => (heard += text) });
  await child.write('abc');
  expect(heard).toBe('ABC');
  await child.close();
  await expect(child.write('x')).rejects.toThrowError('has ended');
});
