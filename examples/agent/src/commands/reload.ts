/**
 * Reload of a running agent: at SIGHUP and when a configuration file changes, the configuration is read again; a refused one
 * leaves everything as it is. Values are never logged, for they may be secret; names are.
 */
import { configChange, configFiles, watchFiles, type Reloadable } from '../config/reload.ts';
import type { Config } from '../config/load.ts';
import type { Log } from '../log.ts';

/** What {@link followConfig} calls. */
export interface ReloadHandlers {
  /** Reads file, environment and flags again. @throws Error that names the place of a bad value */
  readonly load: () => Config;
  /** Wires these blocks with the new configuration. */
  readonly apply: (config: Config, blocks: ReadonlySet<Reloadable>) => Promise<void>;
  /** The whole process starts over with the new configuration. */
  readonly restart: (config: Config) => void;
  readonly log: Log;
}

/** Follows the configuration until the returned function is called. */
export function followConfig(first: Config, { load, apply, restart, log }: ReloadHandlers): () => void {
  let current = first;
  let work: Promise<void> = Promise.resolve();
  let unwatch = (): void => undefined;
  let ended = false;
  const reload = async (): Promise<void> => {
    if (ended) return;
    let next: Config;
    try {
      next = load();
    } catch (error) {
      log.error({ error: (error as Error).message }, 'the new configuration is refused; the old one stays in force');
      return;
    }
    const { names, restart: whole, blocks } = configChange(current, next);
    if (names.length === 0) {
      log.info('configuration read again: nothing has changed');
      return;
    }
    log.info({ changed: names, blocks: whole ? 'all' : [...blocks] }, 'configuration changed');
    for (const warning of next.warnings) if (!current.warnings.includes(warning)) log.warn(warning);
    current = next;
    follow();
    if (whole) restart(next);
    else await apply(next, blocks);
  };
  const schedule = (): void => {
    work = work.then(reload).catch((error: unknown) => {
      log.error({ error: error instanceof Error ? error.message : String(error) }, 'reloading failed');
    });
  };
  const follow = (): void => {
    unwatch();
    unwatch = watchFiles(configFiles(current), schedule);
  };
  follow();
  process.on('SIGHUP', schedule);
  return () => {
    ended = true;
    process.off('SIGHUP', schedule);
    unwatch();
  };
}
