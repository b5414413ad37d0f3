/**
 * From arguments to an exit code: read the command line, resolve the configuration, hand over to one command.
 * Each command is imported only when called, so that `--help` and a refused flag cost nothing.
 */
import { isSdkError } from 'kube-router-sdk/net';
import { loadConfig, type Config } from './config/load.ts';
import { helpText, parseCommandLine, type CommandName } from './flags/command-line.ts';
import { exitCodes, renderReport, type Report } from './report.ts';
import { version } from './version.ts';

/** What a command returns: its document and its exit code. */
export interface Outcome {
  readonly report?: Report;
  readonly exitCode: number;
}

/** Where text goes; replaceable in tests. */
export interface Streams {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

const standard: Streams = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
};

/** Runs the agent and resolves with its exit code. */
export async function main(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  streams: Streams = standard,
): Promise<number> {
  let command: CommandName = 'run';
  let output: 'text' | 'json' = argv.some(
    (word, i) => word === '--output=json' || (word === 'json' && argv[i - 1] === '--output'),
  )
    ? 'json'
    : 'text';
  try {
    const line = parseCommandLine(argv);
    command = line.command;
    const asked = (name: 'help' | 'version'): boolean => (line.given.get(name)?.at(-1) ?? 'false') === 'true';
    if (asked('help')) {
      streams.out(helpText());
      return exitCodes.ok;
    }
    if (asked('version')) {
      streams.out(`kube-router-agent ${version}\n`);
      return exitCodes.ok;
    }
    const config = loadConfig(line, { env });
    command = config.command;
    output = config.flags.output;
    const outcome = await dispatch(config, env, streams, () => loadConfig(line, { env }));
    if (outcome.report !== undefined) {
      for (const error of output === 'json' ? (outcome.report.errors ?? []) : [])
        streams.err(`kube-router-agent: ${error}\n`);
      streams.out(renderReport(outcome.report, output));
    }
    return outcome.exitCode;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    streams.err(`kube-router-agent: ${reason}\n`);
    const usage = isSdkError(error, 'INVALID_OPTION');
    if (!usage && env['KUBE_ROUTER_V'] !== undefined && error instanceof Error) streams.err(`${error.stack}\n`);
    if (output === 'json') {
      streams.out(renderReport({ command, node: '', ok: false, blocks: [], issues: [], errors: [reason] }, 'json'));
    }
    return usage ? exitCodes.usage : exitCodes.difference;
  }
}

async function dispatch(
  config: Config,
  env: Readonly<Record<string, string | undefined>>,
  streams: Streams,
  load: () => Config,
): Promise<Outcome> {
  switch (config.command) {
    case 'run':
      return config.flags.once
        ? (await import('./commands/once.ts')).once(config, env)
        : (await import('./commands/run.ts')).run(config, env, load);
    case 'plan':
      return (await import('./commands/once.ts')).plan(config, env);
    case 'explain':
      return (await import('./commands/explain.ts')).explain(config, env, streams);
    case 'status':
      return (await import('./commands/status.ts')).status(config, streams);
    case 'cleanup':
      return (await import('./commands/cleanup.ts')).cleanup(config, env);
  }
}
