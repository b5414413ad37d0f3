/**
 * One configuration out of file, environment and command line, in that order of increasing weight, checked as a whole.
 * A bad value is refused with its origin (`--x`, `KUBE_ROUTER_X` or `file:line:column`) before anything is touched.
 */
import { readFileSync } from 'node:fs';
import { SdkError } from 'kube-router-sdk/net';
import type { CommandLine, CommandName } from '../flags/command-line.ts';
import { commandLineOnly, flagNames, flagSpec, type FlagName, type FlagValues } from '../flags/table.ts';
import { checkTogether } from './check.ts';
import { parseConfigFile, type FileConfig, type PoolConfig } from './file.ts';

/** Everything the agent was told. */
export interface Config {
  readonly command: CommandName;
  readonly flags: FlagValues;
  /** Where each value that is not a default came from. */
  readonly origins: ReadonlyMap<FlagName, string>;
  readonly pools: readonly PoolConfig[];
  /** The CNI configuration to edit. */
  readonly cniConfFile: string;
  /** Things to say once, such as flags without a counterpart. */
  readonly warnings: readonly string[];
}

/** What {@link loadConfig} reads from; replaceable in tests. */
export interface ConfigInputs {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile?: (path: string) => string;
}

/** Name of a flag in the environment. */
export const environmentName = (name: FlagName): string => `KUBE_ROUTER_${name.toUpperCase().replaceAll('-', '_')}`;

/**
 * Resolves and checks the configuration.
 * @throws SdkError `INVALID_OPTION`, one line that names the origin of the bad value
 */
export function loadConfig(line: CommandLine, inputs: ConfigInputs): Config {
  const read = inputs.readFile ?? ((path: string) => readFileSync(path, 'utf8'));
  const config = line.given.get('config')?.at(-1) ?? inputs.env['KUBE_ROUTER_CONFIG'] ?? '';
  const file: FileConfig =
    config === '' ? { given: new Map(), pools: [] } : parseConfigFile(readNamed(read, config, '--config'), config);
  const origins = new Map<FlagName, string>();
  const warnings: string[] = [];
  const values: Record<string, unknown> = {};
  for (const name of flagNames) {
    const spec = flagSpec(name);
    const fromFlag = line.given.get(name);
    const fromEnv = commandLineOnly.has(name) ? undefined : inputs.env[environmentName(name)];
    const fromFile = file.given.get(name);
    const texts = fromFlag ?? (fromEnv === undefined ? fromFile?.texts : [fromEnv]);
    if (texts === undefined) {
      values[name] = spec.default;
      continue;
    }
    const origin =
      fromFlag !== undefined
        ? `--${name}`
        : fromEnv !== undefined
          ? environmentName(name)
          : `${fromFile?.place}: ${name}`;
    try {
      values[name] = spec.parse(texts);
    } catch (error) {
      const reason = spec.secret === true ? 'an item is not base64' : (error as Error).message;
      throw new SdkError(`${origin}: ${reason}`, { code: 'INVALID_OPTION', details: { path: origin } });
    }
    origins.set(name, origin);
    if (spec.warning !== undefined && spec.format(values[name]) !== spec.format(spec.default))
      warnings.push(spec.warning);
  }
  if (origins.has('disable-source-dest-check')) {
    warnings.push('--disable-source-dest-check does nothing here: turn the check off in the cloud account');
  }
  const resolved = readPasswords(values as unknown as FlagValues, read);
  checkTogether(resolved, origins);
  return {
    command: resolved['cleanup-config'] ? 'cleanup' : line.command,
    flags: resolved,
    origins,
    pools: file.pools,
    cniConfFile: inputs.env['KUBE_ROUTER_CNI_CONF_FILE'] ?? '/etc/cni/net.d/10-kuberouter.conf',
    warnings,
  };
}

/** The passwords file counts only when no password flag is given. */
function readPasswords(values: FlagValues, read: (path: string) => string): FlagValues {
  const path = values['peer-router-passwords-file'];
  if (path === '' || values['peer-router-passwords'].length > 0) return values;
  const [line = ''] = readNamed(read, path, '--peer-router-passwords-file').split('\n');
  try {
    return {
      ...values,
      'peer-router-passwords': flagSpec('peer-router-passwords').parse([line.trim()]) as readonly string[],
    };
  } catch {
    throw new SdkError(`--peer-router-passwords-file: ${path} holds an item that is not base64`, {
      code: 'INVALID_OPTION',
    });
  }
}

function readNamed(read: (path: string) => string, path: string, origin: string): string {
  try {
    return read(path);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (cause as Error).message;
    throw new SdkError(`${origin}: cannot read ${path}: ${why}`, { code: 'INVALID_OPTION', cause });
  }
}
