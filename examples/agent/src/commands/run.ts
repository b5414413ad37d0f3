/**
 * `run`: programs this node until SIGTERM or SIGINT, then leaves everything as it is, so that traffic goes on.
 */
import { reconcile, type Reconciler } from 'kube-router-sdk/kernel';
import type { Server } from 'node:http';
import {
  debounceTime,
  delay,
  filter,
  firstValueFrom,
  interval,
  map,
  merge,
  NEVER,
  race,
  take,
  takeUntil,
  timer,
  type Observable,
} from 'rxjs';
import { page } from '../admin/page.ts';
import { openAdminPort, openAdminSocket, type AdminOptions } from '../admin/server.ts';
import { createViews } from '../admin/views.ts';
import type { Outcome } from '../cli.ts';
import type { Config } from '../config/load.ts';
import { closeServer, openHealthServer } from '../health.ts';
import { tidyUp } from '../lean.ts';
import { createLog, type Log } from '../log.ts';
import { createMetrics, openMetricsServer } from '../metrics/metrics.ts';
import { nodeNameCandidates, type Environment } from '../node.ts';
import { preflight } from '../preflight.ts';
import { socketPath } from '../paths.ts';
import type { Part } from '../part.ts';
import { exitCodes, issueLine, type Report } from '../report.ts';
import { createAgentState, type AgentState, type PassRecord } from '../state.ts';
import { version } from '../version.ts';
import { createRunner } from 'kube-router-sdk/kernel';
import { assemble, type Assembly } from '../wire.ts';
import type { Reloadable } from '../config/reload.ts';
import { followConfig } from './reload.ts';

/** Blocks that must work before traffic is attracted, and how long they are waited for when none of them is at work. */
const CARRIERS: ReadonlySet<string> = new Set(['routing', 'ipvs', 'firewall']);
const CARRY_MS = 30_000;
/** How long the first pass of a block is waited for, before the next begins or sessions open. */
const FIRST_PASS_MS = 120_000;
/** How long after the last pass of a burst the garbage of the start is collected. */
const TIDY_MS = 3_000;
/** How long after that another burst still belongs to the start. */
const BURSTS_MS = 20_000;

/** Runs the command; resolves when a signal has ended it. `load` reads the configuration again. */
export async function run(first: Config, env: Environment, load: () => Config): Promise<Outcome> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  // Not `once`: child processes have listeners of their own, which end this process where they find themselves alone.
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  const log = createLog({ verbosity: first.flags.v, quiet: false }, nodeNameCandidates(first, env)[0]);
  for (const warning of first.warnings) log.warn(warning);
  for (let config: Config | undefined = first; config !== undefined;) {
    const { flags } = config;
    if (!flags['run-router'] && !flags['run-firewall'] && !flags['run-service-proxy'] && !flags['run-loadbalancer']) {
      log.info('router, firewall, service proxy and allocator are all off: nothing to do');
      return { exitCode: exitCodes.ok };
    }
    const missing = await preflight(flags, createRunner());
    if (missing.length > 0) {
      const report: Report = { command: 'run', node: '', ok: false, blocks: [], issues: [], errors: missing };
      return { report, exitCode: exitCodes.difference };
    }
    config = await live(config, env, load, stop.signal, log);
  }
  log.info('stopped');
  return { exitCode: exitCodes.ok };
}

/** One life of the agent: until the signal, or until a configuration asks for another, which is then returned. */
async function live(
  config: Config,
  env: Environment,
  load: () => Config,
  stop: AbortSignal,
  log: Log,
): Promise<Config | undefined> {
  const { flags } = config;
  const over = new AbortController();
  const signal = AbortSignal.any([stop, over.signal]);
  let next: Config | undefined;
  const startedAt = Date.now();
  const state = createAgentState();
  const metrics = createMetrics();
  const servers: Server[] = [];
  const running = new Map<string, number>();
  const loops = new Map<string, Reconciler>();
  let assembly: Assembly | undefined;
  let unfollow = (): void => undefined;
  const begin = (part: Part): Reconciler => {
    const target = watched(part, running);
    const loop = reconcile(part.desired$, target, { resyncMs: part.resyncMs, drift$: driftOf(part, state) });
    loops.set(part.name, loop);
    loop.events$.subscribe((event) => {
      state.setIssues(part.name, part.issues());
      state.record(event);
    });
    return loop;
  };
  try {
    if (flags['health-port'] !== 0) {
      const inputs = { state, running: () => running };
      servers.push(await openHealthServer(flags['health-addr'], flags['health-port'], inputs));
    }
    if (flags['metrics-port'] !== 0) {
      servers.push(
        await openMetricsServer(flags['metrics-addr'], flags['metrics-port'], flags['metrics-path'], metrics),
      );
    }
    log.info({ version, source: flags.manifests.length > 0 ? 'manifests' : 'api' }, 'starting');
    const made = (assembly = await assemble(config, env, { mode: 'run', state, metrics, log, signal }));
    if (!signal.aborted) {
      const { providers } = made;
      const ended = aborted(signal);
      const admin: AdminOptions = {
        views: createViews({ node: made.node(), startedAt, state, providers }),
        actions: new Map([['/gate', (query: URLSearchParams) => providers.gate(query)]]),
        page,
        events$: state.passes$.pipe(map((data) => ({ type: 'pass', data }))),
      };
      servers.push(await openAdminSocket(socketPath(flags['run-dir']), admin));
      if (flags['admin-port'] !== 0) {
        servers.push(await openAdminPort(flags['admin-address'], flags['admin-port'], admin));
      }
      logState(log, state);
      const settled$ = state.passes$.pipe(
        filter(() => state.ready()),
        debounceTime(TIDY_MS),
      );
      // Sessions open last, and what they learn is a burst of its own; a pass of much later is one of those that come each minute.
      const tidy = settled$.pipe(take(2), takeUntil(settled$.pipe(take(1), delay(BURSTS_MS)))).subscribe(tidyUp);
      void ended.then(() => tidy.unsubscribe());
      void carrying(state, running, ended).then(() => {
        if (!signal.aborted) made.start();
      });
      unfollow = followConfig(config, {
        load,
        log,
        restart: (changed) => {
          next = changed;
          over.abort();
        },
        async apply(changed, blocks) {
          for (const block of RELOAD_ORDER.filter((name) => blocks.has(name))) {
            const gone = block === 'routing' ? ['routing', 'cni'] : [block];
            for (const name of gone) await loops.get(name)?.close();
            for (const part of await made.rewire(block, changed)) begin(part);
          }
        },
      });
      for (const part of made.parts) {
        // One after the other, for each inserts its rules first: policy, the last, ends up in front of what accepts.
        await Promise.race([firstEvent(begin(part)), ended]);
        if (signal.aborted) break;
      }
      await ended;
    }
    log.info(
      next === undefined ? 'stopping; the kernel keeps what it has' : 'starting over; the kernel keeps what it has',
    );
  } finally {
    unfollow();
    await Promise.all([...loops.values()].map((loop) => loop.close()));
    await assembly?.close();
    await Promise.all(servers.map(closeServer));
    metrics.close();
  }
  return next;
}

/** Who is listened to comes before who listens. */
const RELOAD_ORDER: readonly Reloadable[] = ['log', 'ingress', 'bgp', 'routing', 'ipvs', 'firewall', 'loadbalancer'];

/** Resolves when this node can carry what it announces, or has tried for long enough: sessions open then. Or at the end. */
function carrying(state: AgentState, running: ReadonlyMap<string, number>, ended: Promise<void>): Promise<unknown> {
  const began = Date.now();
  const late = interval(1_000).pipe(
    map(() => Date.now() - began),
    filter((ms) => ms >= FIRST_PASS_MS || (ms >= CARRY_MS && ![...running.keys()].some((name) => CARRIERS.has(name)))),
  );
  const ready = state.passes$.pipe(
    filter(() => state.blocks().every((block) => block.ready || !CARRIERS.has(block.name))),
  );
  return firstValueFrom(merge<[unknown, unknown]>(late, ready).pipe(takeUntil(ended)), { defaultValue: undefined });
}

/** The same target; `running` knows since when it has been at work, which is how liveness sees a pass that never ends. */
function watched({ name, target }: Part, running: Map<string, number>): Part['target'] {
  const during = async <T>(work: () => Promise<T>): Promise<T> => {
    running.set(name, Date.now());
    try {
      return await work();
    } finally {
      running.delete(name);
    }
  };
  return {
    name: target.name,
    observe: (signal) => during(() => target.observe(signal)),
    plan: (desired, observed, options) => target.plan(desired, observed, options),
    size: (plan) => target.size(plan),
    apply: (plan, signal) => during(() => target.apply(plan, signal)),
  };
}

/** When a part's kernel state may have been changed: for the policy firewall also when its neighbours put rules in anew. */
function driftOf({ name, drift$ = NEVER }: Part, state: AgentState): Observable<unknown> {
  if (name !== 'firewall') return drift$;
  const neighbours = state.passes$.pipe(
    filter(({ block, changes, reason }) => block !== name && CARRIERS.has(block) && changes > 0 && reason !== 'change'),
  );
  return merge(drift$, neighbours);
}

/** The end of a loop's first pass, whatever its outcome; at most so long that one block cannot hold up the others. */
function firstEvent(loop: Reconciler): Promise<unknown> {
  return firstValueFrom(race(loop.events$, timer(FIRST_PASS_MS)), { defaultValue: undefined });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
    // Everything else in the process may be idle and unreferenced; this keeps it alive until the signal.
    const timer = setInterval(() => undefined, 2 ** 30);
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  });
}

/** One line when something changed or failed, one when the agent becomes ready, one for each new issue. */
function logState(log: Log, state: AgentState): void {
  let ready = false;
  const failing = new Map<string, string>();
  state.passes$.subscribe((pass) => {
    logPass(log, pass, failing);
    if (!ready && state.ready()) {
      ready = true;
      log.info('ready: every block holds what is desired');
    }
  });
  let known = new Set<string>();
  state.issues$.subscribe((issues) => {
    const now = new Set(issues.map(issueLine));
    for (const line of now) if (!known.has(line)) log.warn({ issue: line }, 'issue');
    for (const line of known) if (!now.has(line)) log.info({ issue: line }, 'issue gone');
    known = now;
  });
}

function logPass(log: Log, pass: PassRecord, failing: Map<string, string>): void {
  const { block, changes, remaining, reason, failures } = pass;
  const durationMs = Math.round(pass.durationMs);
  const fields = { block, reason, changes, remaining, durationMs };
  const [first] = failures;
  const why = pass.error ?? (first === undefined ? undefined : `${first.item}: ${first.error}`);
  if (why !== undefined) {
    // The same failure, tried again and again, is said once.
    if (failing.get(block) !== why) log.error({ ...fields, failed: failures.length, error: why }, 'pass failed');
    failing.set(block, why);
    return;
  }
  if (failing.delete(block)) log.info(fields, 'pass succeeds again');
  else if (changes > 0) {
    const latency = pass.latencyMs === undefined ? {} : { latencyMs: Math.round(pass.latencyMs) };
    log.info({ ...fields, ...latency }, 'applied');
  } else log.debug(fields, 'nothing to do');
}
