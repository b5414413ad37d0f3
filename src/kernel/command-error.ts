/**
 * The errors of commands: facts for programs in `details`, and a message that shows the refused line of a batch.
 * Shared by the runner that spawns and the one that only records, so that a test meets the same errors as the kernel's user.
 */
import { SdkError } from '../net/errors.ts';
import { classifyFailure, findFailingLine, isTransient } from './failing-line.ts';
import type { Command } from './types.ts';

/** Most characters of stderr that an error carries. */
export const STDERR_LIMIT = 4000;

/** The error of a command that its signal ended, before or while it ran. */
export function aborted(command?: Command): SdkError {
  return new SdkError(command === undefined ? 'ended before it ran' : `${command.file} was ended`, { code: 'ABORTED' });
}

/** What an error says of its command. */
export function describe(command: Command): Record<string, unknown> {
  const where = command.netns === undefined ? {} : { netns: command.netns };
  return { file: command.file, args: command.args, ...where };
}

/** The error of a command that ended with a code that is no answer. */
export function failure(command: Command, exitCode: number, stderr: string): SdkError {
  const line = findFailingLine(stderr);
  const text = line === undefined || command.secret === true ? undefined : command.input?.split('\n')[line - 1];
  const first = stderr.split('\n').find((one) => one.trim() !== '') ?? 'no message';
  const at = line === undefined ? '' : ` at line ${line}${text === undefined ? '' : ` "${text}"`}`;
  const name = [command.file, ...command.args].join(' ');
  return new SdkError(`${name} exited with ${exitCode}${at}: ${first.trim()}`, {
    code: classifyFailure(stderr),
    retryable: isTransient(stderr),
    details: {
      ...describe(command),
      exitCode,
      stderr: stderr.slice(0, STDERR_LIMIT),
      ...(line === undefined ? {} : { line }),
      ...(text === undefined ? {} : { lineText: text }),
    },
  });
}
