/**
 * The agent put together: objects, the door to the kernel, and the enabled blocks in the order in which a start programs
 * them (routing, services, policy: each inserts its rules first, so that policy ends up in front).
 */
import { existsSync } from 'node:fs';
import { createRunner, detectIptablesFlavour, openOwnership, type StreamingRunner } from 'kube-router-sdk/kernel';
import type { Issue } from 'kube-router-sdk/net';
import { createEventRecorder, type Connection, type ObjectKind, type ObjectSource } from 'kube-router-sdk/informers';
import { emptyProviders, type Providers } from './admin/views.ts';
import { ReplaySubject, switchMap } from 'rxjs';
import { wireBgp, type BgpBlock } from './blocks/bgp.ts';
import { wireIngress, type IngressBlock } from './blocks/ingress.ts';
import { wireCni } from './blocks/cni.ts';
import { enabledFamilies, type BlockContext } from './blocks/context.ts';
import { wireFirewall } from './blocks/firewall.ts';
import { wireIpvs } from './blocks/ipvs.ts';
import { readMachine } from './blocks/ipvs-machine.ts';
import { wireLoadBalancer } from './blocks/load-balancer.ts';
import { wireRouting } from './blocks/routing.ts';
import { adoptSets, wireTakeover } from './blocks/takeover.ts';
import { createEmptyKernelRunner } from './capture.ts';
import type { Config } from './config/load.ts';
import type { Reloadable } from './config/reload.ts';
import { createLog, logLevel, type Log } from './log.ts';
import { ownershipPath, snapshotPath } from './paths.ts';
import { measureState, type Metrics } from './metrics/metrics.ts';
import { nodeNameCandidates, type Environment } from './node.ts';
import { recordIssues } from './issue-events.ts';
import { openSource } from './objects.ts';
import type { Part } from './part.ts';
import { markReady } from './ready-mark.ts';
import { firstPicture, neededKinds, sourceViews } from './sources.ts';
import { readSnapshot } from './snapshot-file.ts';
import { createSnapshotSource } from './snapshot-source.ts';
import { keepSnapshot } from './snapshot-writer.ts';
import { createAgentState, type AgentState } from './state.ts';

/** How long the API may take at start before the snapshot stands in. */
const SNAPSHOT_WAIT_MS = 3_000;

/** Objects, and what is known of their coming. */
export interface OpenedObjects {
  readonly objects: ObjectSource;
  /** Absent with manifests. */
  readonly connection?: Connection;
  /** Whether all kinds had their first full picture before the signal. */
  synced(signal: AbortSignal): Promise<boolean>;
  /** One sentence: which kinds are missing and why. */
  whyUnsynced(): string;
}

/** An agent without a loop: what the commands run. */
export interface Assembly {
  readonly node: () => string;
  readonly parts: readonly Part[];
  readonly runner: StreamingRunner;
  readonly state: AgentState;
  readonly providers: Providers;
  readonly log: Log;
  readonly families: BlockContext['families'];
  /** Of the objects and of every block, now. */
  issues(): readonly Issue[];
  whyUnsynced(): string;
  /** Takes a new configuration and wires one block with it; returns its new parts, whose loops the caller runs. */
  rewire(block: Reloadable, config: Config): Promise<readonly Part[]>;
  /** Opens BGP sessions; called when this node can carry what it announces. */
  start(): void;
  close(): Promise<void>;
}

/** How {@link assemble} is to do it. */
export interface AssembleOptions {
  readonly mode: BlockContext['mode'];
  /** Answer every question to the kernel as an empty one would. */
  readonly emptyKernel?: boolean;
  readonly metrics?: Metrics;
  readonly state?: AgentState;
  readonly log?: Log;
  readonly signal?: AbortSignal;
}

/** Opens the source of objects and the kinds that are needed. */
export async function openObjects(
  config: Config,
  env: Environment,
  kinds: readonly ObjectKind[],
  log?: Log,
): Promise<OpenedObjects> {
  const { objects: real, connection } = await openSource(config, env);
  // Only a running agent, which has a log, starts without the API.
  const objects = log === undefined || connection === undefined ? real : behindSnapshot(config, real, log);
  const sources = kinds.map((kind) => ({ kind, source: objects.open(kind) }));
  const reasons = new Map<ObjectKind, string>();
  // The reason before the last one as well: after a failure comes a wait, which has a reason of its own.
  for (const { kind, source } of sources) {
    let before = '';
    source.state$.subscribe(({ reason }) => {
      const both = [before, reason].filter((one) => one !== '');
      reasons.set(kind, reason === '' ? '' : [...new Set(both)].join('; '));
      before = reason;
    });
  }
  return {
    objects,
    ...(connection === undefined ? {} : { connection }),
    async synced(signal) {
      const all = await Promise.all(sources.map(({ source }) => firstPicture(source, signal)));
      return all.every(Boolean);
    },
    whyUnsynced() {
      const missing = sources.filter(({ source }) => !source.snapshot().synced);
      const why = missing.map(({ kind }) => reasons.get(kind) ?? '').find((reason) => reason !== '');
      const names = missing.map(({ kind }) => kind).join(', ');
      return `no full picture of ${names} within --cache-sync-timeout${why === undefined ? '' : `: ${why}`}`;
    },
  };
}

/** Puts the last good objects behind the API, where there are any. */
function behindSnapshot(config: Config, source: ObjectSource, log: Log): ObjectSource {
  const path = snapshotPath(config.flags['state-dir']);
  if (!existsSync(path)) return source;
  return createSnapshotSource({
    source,
    waitMs: SNAPSHOT_WAIT_MS,
    load() {
      try {
        return readSnapshot(path);
      } catch (error) {
        log.warn({ path, error: (error as Error).message }, 'the snapshot cannot be used');
        return undefined;
      }
    },
    onUse({ savedAt }) {
      const at = new Date(savedAt).toISOString();
      log.warn(
        { path, savedAt: at },
        'the API does not answer: starting from the last good objects; nothing is pruned',
      );
    },
  });
}

/** The Node name that this process goes by: the first candidate that is a Node, else the first. */
async function findNode(config: Config, env: Environment, objects: ObjectSource, signal: AbortSignal): Promise<string> {
  const candidates = nodeNameCandidates(config, env);
  if (!(await firstPicture(objects.open('Node'), signal))) return candidates[0];
  const { items } = objects.open('Node').snapshot();
  return candidates.find((name) => items.has(name)) ?? candidates[0];
}

/** The flavour asked for, or the one in use here; `system` where none can be told, and the block that needs one says what is wrong. */
export async function iptablesFlavour({ flags }: Config, runner: StreamingRunner): Promise<BlockContext['flavour']> {
  if (flags['iptables-flavour'] !== 'auto') return flags['iptables-flavour'];
  return detectIptablesFlavour(runner).catch(() => 'system' as const);
}

/** The machine's runner; at `-v=2` the log shows every command with what it took, inputs left out. */
function loggedRunner(log: Log): StreamingRunner {
  const runner = createRunner();
  if (log.isLevelEnabled('trace')) {
    runner.commands$.subscribe(({ command, durationMs, exitCode }) => {
      log.trace({ run: [command.file, ...command.args].join(' '), ms: Math.round(durationMs), exitCode }, 'command');
    });
  }
  return runner;
}

/** Puts the agent together. */
export async function assemble(config: Config, env: Environment, options: AssembleOptions): Promise<Assembly> {
  const { flags } = config;
  let current = config;
  const state = options.state ?? createAgentState();
  const providers = emptyProviders();
  const ends: End[] = [];
  const onClose = (end: End): void => void ends.push(end);
  const kinds = neededKinds(flags);
  const opened = await openObjects(config, env, kinds, options.mode === 'run' ? options.log : undefined);
  const { objects, connection } = opened;
  onClose(() => objects.close());
  const signal = options.signal ?? AbortSignal.timeout(flags['cache-sync-timeout']);
  const node = await findNode(config, env, objects, signal);
  const log = options.log ?? createLog({ verbosity: flags.v, quiet: options.mode !== 'run' }, node);
  const runner = options.emptyKernel === true ? createEmptyKernelRunner(createRunner()) : loggedRunner(log);
  const ownership = await openOwnership({ path: ownershipPath(flags['run-dir']) });
  const flavour = options.emptyKernel === true ? 'system' : await iptablesFlavour(config, runner);
  const { metrics } = options;
  providers.sources = () => sourceViews(objects, kinds);
  if (metrics !== undefined) onClose(measureState(metrics, state));
  let objectIssues: readonly Issue[] = [];
  const subscription = objects.issues$.subscribe((issues) => {
    objectIssues = issues;
    state.setIssues('objects', issues);
  });
  onClose(() => subscription.unsubscribe());

  // Each block has its own ends, so that it can be wired anew while the others go on.
  const blockEnds = new Map<string, End[]>();
  const contextOf = (block: string): BlockContext => {
    const own: End[] = [];
    blockEnds.set(block, own);
    return {
      get config() {
        return current;
      },
      env,
      node,
      families: enabledFamilies(config),
      objects,
      runner,
      ownership,
      flavour,
      mode: options.mode,
      state,
      providers,
      log,
      onClose: (end) => void own.push(end),
      ...(metrics === undefined
        ? {}
        : { metrics: { ...metrics, onScrape: (collect) => tracked(own, metrics.onScrape(collect)) } }),
    };
  };
  const closeBlock = async (block: string): Promise<void> => {
    const own = blockEnds.get(block) ?? [];
    blockEnds.delete(block);
    for (const end of own.reverse()) await end();
  };

  const families = enabledFamilies(config);
  const machine = flags['run-service-proxy'] ? await readMachine({ families, objects, node, runner, log }) : undefined;
  const parts: Part[] = [];
  const running = options.mode === 'run';
  let bgp: BgpBlock | undefined;
  const ingress$ = new ReplaySubject<IngressBlock>(1);
  let ingress: IngressBlock | undefined;
  const events =
    connection !== undefined && running
      ? createEventRecorder({ connection, component: 'kube-router', instance: node })
      : undefined;
  const wirers: Readonly<Record<Reloadable, () => readonly Part[]>> = {
    ingress() {
      if (!flags['run-router']) return [];
      ingress$.next((ingress = wireIngress(contextOf('ingress'))));
      return [];
    },
    bgp() {
      if (!flags['run-router'] || !running) return [];
      if (bgp !== undefined) bgp.reload();
      else {
        bgp = wireBgp(contextOf('bgp'), {
          vips$: ingress$.pipe(switchMap(({ advertisements$ }) => advertisements$)),
          isServiceAddress: (address) => ingress?.isServiceAddress(address) ?? false,
          everywhere: (advertisement) => ingress?.everywhere(advertisement) ?? false,
        });
      }
      return [];
    },
    routing() {
      if (!flags['run-router']) return [];
      const routing = wireRouting(contextOf('routing'), bgp?.learned$, connection);
      // The file is no kernel state: a single pass leaves it alone, as does a node where something else plugs pods in.
      const cni = flags['enable-cni'] && running ? [wireCni(contextOf('cni'), routing.podNetwork$)] : [];
      return [routing.part, ...cni];
    },
    ipvs: () => (machine === undefined ? [] : [wireIpvs(contextOf('ipvs'), machine)]),
    firewall: () => (flags['run-firewall'] ? [wireFirewall(contextOf('firewall'))] : []),
    loadbalancer() {
      if (connection === undefined || events === undefined || !flags['run-loadbalancer']) return [];
      wireLoadBalancer(contextOf('loadbalancer'), connection, events);
      return [];
    },
    log() {
      log.level = logLevel({ verbosity: current.flags.v, quiet: !running });
      return [];
    },
  };
  for (const block of ORDER) parts.push(...wirers[block]());
  if (events !== undefined) onClose(recordIssues(state, events));
  if (connection !== undefined && running) {
    onClose(keepSnapshot(snapshotPath(flags['state-dir']), objects, kinds, log));
    const taint = flags['ready-taint'];
    onClose(markReady({ connection, node, state, log, taint, condition: flags['network-condition'] }));
  }
  const takeover = await wireTakeover(contextOf('takeover'));
  if (takeover !== undefined) {
    const services = parts.findIndex(({ name }) => name === 'ipvs');
    const part = parts[services];
    if (part !== undefined) parts[services] = adoptSets(part, runner);
    parts.push(takeover);
  }
  state.expect(parts.map(({ name }) => name));
  return {
    node: () => node,
    parts,
    runner,
    state,
    providers,
    log,
    families: enabledFamilies(config),
    issues: () =>
      unique([
        ...objectIssues,
        ...parts.flatMap((part) => part.issues()),
        ...(ingress?.issues() ?? []),
        ...(bgp?.issues() ?? []),
      ]),
    start: () => bgp?.start(),
    whyUnsynced: () => opened.whyUnsynced(),
    async rewire(block, next) {
      current = next;
      // Sessions stay: BGP takes the new configuration while it runs.
      if (block !== 'bgp') await closeBlock(block);
      if (block === 'routing') await closeBlock('cni');
      const made = wirers[block]();
      for (const part of made) {
        const at = parts.findIndex(({ name }) => name === part.name);
        if (at === -1) parts.push(part);
        else parts[at] = part;
      }
      return made;
    },
    async close() {
      for (const block of [...blockEnds.keys()].reverse()) await closeBlock(block);
      for (const end of ends.reverse()) await end();
    },
  };
}

/** Order of wiring: who is listened to comes before who listens, and who programs the kernel in the order of its rules. */
const ORDER: readonly Reloadable[] = ['ingress', 'bgp', 'routing', 'ipvs', 'firewall', 'loadbalancer'];

type End = () => void | Promise<void>;

function tracked(ends: End[], end: () => void): () => void {
  ends.push(end);
  return end;
}

function unique(issues: readonly Issue[]): readonly Issue[] {
  return [...new Map(issues.map((issue) => [`${issue.object}\n${issue.field}\n${issue.reason}`, issue])).values()];
}
