/**
 * From arguments to texts a flag, and from the table to `--help`. Go's boolean form (`--x`, `--x=false`, never `--x false`)
 * is turned into one that Commander reads; values stay text, because file, environment and flags are read by one parser.
 */
import { Command, CommanderError, Option } from 'commander';
import { SdkError } from 'kube-router-sdk/net';
import { flagNames, flagSpec, groups, isFlagName, type FlagName } from './table.ts';

/** What the agent can be asked to do. */
export const commands = ['run', 'plan', 'explain', 'status', 'cleanup'] as const;

/** One of {@link commands}. */
export type CommandName = (typeof commands)[number];

/** What was written on the command line. */
export interface CommandLine {
  readonly command: CommandName;
  /** Texts a flag, in order of appearance. */
  readonly given: ReadonlyMap<FlagName, readonly string[]>;
}

const shorts = new Map(flagNames.map((name) => [flagSpec(name).short, name]));

const isBoolean = (name: string): boolean => isFlagName(name) && flagSpec(name).metavar === undefined;

/** `--x` of a boolean becomes `--x=true`, `-v=2` becomes `--v=2`. */
function normalise(argv: readonly string[]): string[] {
  const out: string[] = [];
  let literal = false;
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? '';
    literal ||= word === '--';
    const short = /^-([a-zA-Z])(?:=?(.*))$/s.exec(word);
    const shortName = literal || short === null ? undefined : shorts.get(short[1]);
    if (shortName !== undefined && isBoolean(shortName) && short?.[2] === '') out.push(`--${shortName}=true`);
    else if (shortName !== undefined && !isBoolean(shortName) && short?.[2] !== '')
      out.push(`--${shortName}=${short?.[2]}`);
    else if (!literal && word.startsWith('--') && isBoolean(word.slice(2))) out.push(`${word}=true`);
    else {
      out.push(word);
      // The word after a flag that takes one is its value, whatever it looks like.
      const name = word.startsWith('--') ? word.slice(2) : shortName;
      const next = argv[i + 1];
      if (!literal && name !== undefined && isFlagName(name) && !isBoolean(name) && next !== undefined) {
        out.push(next);
        i++;
      }
    }
  }
  return out;
}

function program(given: Map<FlagName, string[]>): Command {
  const command = new Command('kube-router-agent')
    .usage('[run|plan|explain|status|cleanup] [flags]')
    .description(
      [
        'Kubernetes node networking: pod routes and BGP, Services by IPVS, NetworkPolicy, VIP announcement.',
        '',
        'Commands:',
        '  run      program this node until SIGTERM (default); --once: one verified pass',
        '  plan     print what would change, change nothing (exit 3: something would)',
        '  explain  whether --from reaches --to on --port, and which policy decides (exit 4: denied)',
        '  status   what the running agent sees; --watch follows it',
        '  cleanup  undo exactly what was applied; --dry-run lists it',
        '',
        'Every flag is also KUBE_ROUTER_<FLAG> in the environment and a key of the --config file; flags win.',
      ].join('\n'),
    )
    .argument('[command]')
    .helpOption(false)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .configureHelp({ helpWidth: 110 });
  for (const [title, members] of groups) {
    for (const name of members) {
      const spec = flagSpec(name);
      const long = spec.metavar === undefined ? `--${name}` : `--${name} <${spec.metavar}>`;
      const shown = spec.format(spec.default);
      // The value is optional for Commander so that `--x=true` is read; a bare one never reaches it.
      const flags = spec.metavar === undefined ? `--${name} [bool]` : long;
      const option = new Option(spec.short === undefined ? flags : `-${spec.short}, ${flags}`);
      option.description = shown === '' ? spec.help : `${spec.help} (default ${shown})`;
      option.helpGroup(`${title}:`);
      option.argParser((value: string) => {
        const texts = given.get(name) ?? [];
        texts.push(value);
        given.set(name, texts);
        return value;
      });
      command.addOption(option);
    }
  }
  return command;
}

/** The text of `--help`. */
export function helpText(): string {
  return program(new Map()).helpInformation().replaceAll(' [bool]', '       ');
}

/**
 * Reads the arguments after the program's name.
 * @throws SdkError `INVALID_OPTION`
 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const given = new Map<FlagName, string[]>();
  const command = program(given);
  try {
    command.parse(normalise(argv), { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw new SdkError(`${error.message.replace(/^error: /, '').split('\n')[0]}; see --help`, {
      code: 'INVALID_OPTION',
    });
  }
  const word = command.args[0] ?? 'run';
  const name = commands.find((known) => known === word);
  if (name === undefined) {
    throw new SdkError(`'${word}' is not a command; use one of ${commands.join(', ')}`, { code: 'INVALID_OPTION' });
  }
  return { command: name, given };
}
