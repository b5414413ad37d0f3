/**
 * The agent put together: objects, the door to the kernel, and the enabled blocks in the order in which a start programs
 * them (routing, services, policy: each inserts its rules first, so that policy ends up in front).
 */
import { createRunner, detectIptablesFlavour, openOwnership, type StreamingRunner } from 'kube-router-sdk/kernel';
import type { Issue } from 'kube-router-sdk/net';
import { createEventRecorder, type Connection, type ObjectKind, type ObjectSource } from 'kube-router-sdk/informers';
import { emptyProviders, type Providers } from './admin/views.ts';
import { wireBgp } from './blocks/bgp.ts';
import { wireIngress } from './blocks/ingress.ts';
import { wireCni } from './blocks/cni.ts';
import { enabledFamilies, type BlockContext } from './blocks/context.ts';
import { wireFirewall } from './blocks/firewall.ts';
import { wireIpvs } from './blocks/ipvs.ts';
import { wireLoadBalancer } from './blocks/load-balancer.ts';
import { wireRouting } from './blocks/routing.ts';
import { createEmptyKernelRunner } from './capture.ts';
import type { Config } from './config/load.ts';
import { createLog, type Log } from './log.ts';
import { ownershipPath, snapshotPath } from './paths.ts';
import { measureState, type Metrics } from './metrics/metrics.ts';
import { nodeNameCandidates, type Environment } from './node.ts';
import { recordIssues } from './issue-events.ts';
import { openSource } from './objects.ts';
import type { Part } from './part.ts';
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
  for (const { kind, source } of sources) source.state$.subscribe((state) => void reasons.set(kind, state.reason));
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
  try {
    const saved = readSnapshot(path);
    if (saved === undefined) return source;
    const onUse = (): void => {
      const savedAt = new Date(saved.savedAt).toISOString();
      log.warn({ path, savedAt }, 'the API does not answer: starting from the last good objects; nothing is pruned');
    };
    return createSnapshotSource({ source, saved, waitMs: SNAPSHOT_WAIT_MS, onUse });
  } catch (error) {
    log.warn({ path, error: (error as Error).message }, 'the snapshot cannot be used');
    return source;
  }
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

/** Puts the agent together. */
export async function assemble(config: Config, env: Environment, options: AssembleOptions): Promise<Assembly> {
  const { flags } = config;
  const state = options.state ?? createAgentState();
  const providers = emptyProviders();
  const ends: (() => void | Promise<void>)[] = [];
  const onClose = (end: () => void | Promise<void>): void => void ends.push(end);
  const kinds = neededKinds(flags);
  const opened = await openObjects(config, env, kinds, options.mode === 'run' ? options.log : undefined);
  const { objects } = opened;
  onClose(() => objects.close());
  const signal = options.signal ?? AbortSignal.timeout(flags['cache-sync-timeout']);
  const node = await findNode(config, env, objects, signal);
  const log = options.log ?? createLog({ verbosity: flags.v, quiet: options.mode !== 'run' }, node);
  const runner: StreamingRunner = options.emptyKernel === true ? createEmptyKernelRunner() : createRunner();
  const ownership = await openOwnership({ path: ownershipPath(flags['run-dir']) });
  providers.sources = () => sourceViews(objects, kinds);
  const context: BlockContext = {
    config,
    env,
    node,
    families: enabledFamilies(config),
    objects,
    runner,
    ownership,
    flavour: options.emptyKernel === true ? 'system' : await iptablesFlavour(config, runner),
    mode: options.mode,
    state,
    providers,
    log,
    onClose,
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
  };
  if (options.metrics !== undefined) onClose(measureState(options.metrics, state));
  let objectIssues: readonly Issue[] = [];
  const subscription = objects.issues$.subscribe((issues) => {
    objectIssues = issues;
    state.setIssues('objects', issues);
  });
  onClose(() => subscription.unsubscribe());
  const parts: Part[] = [];
  const others: (() => readonly Issue[])[] = [];
  let start = (): void => undefined;
  if (flags['run-router']) {
    const ingress = wireIngress(context);
    const vips$ = ingress.advertisements$;
    const bgp =
      options.mode === 'run' ? wireBgp(context, { vips$, isServiceAddress: ingress.isServiceAddress }) : undefined;
    const routing = wireRouting(context, bgp?.learned$);
    others.push(ingress.issues, ...(bgp === undefined ? [] : [bgp.issues]));
    start = () => bgp?.start();
    parts.push(routing.part);
    // The file is no kernel state: a single pass leaves it alone, as does a node where something else plugs pods in.
    if (flags['enable-cni'] && options.mode === 'run') parts.push(wireCni(context, routing.podNetwork$));
  }
  if (flags['run-service-proxy']) parts.push(wireIpvs(context));
  if (flags['run-firewall']) parts.push(wireFirewall(context));
  if (opened.connection !== undefined && options.mode === 'run') {
    const { connection } = opened;
    const events = createEventRecorder({ connection, component: 'kube-router', instance: node });
    onClose(recordIssues(state, events));
    if (flags['run-loadbalancer']) wireLoadBalancer(context, connection, events);
  }
  if (opened.connection !== undefined && options.mode === 'run') {
    onClose(keepSnapshot(snapshotPath(flags['state-dir']), objects, kinds, log));
  }
  state.expect(parts.map(({ name }) => name));
  return {
    node: () => node,
    parts,
    runner,
    state,
    providers,
    log,
    families: context.families,
    issues: () =>
      unique([...objectIssues, ...parts.flatMap((part) => part.issues()), ...others.flatMap((ask) => ask())]),
    start: () => start(),
    whyUnsynced: () => opened.whyUnsynced(),
    async close() {
      for (const end of ends.reverse()) await end();
    },
  };
}

function unique(issues: readonly Issue[]): readonly Issue[] {
  return [...new Map(issues.map((issue) => [`${issue.object}\n${issue.field}\n${issue.reason}`, issue])).values()];
}
