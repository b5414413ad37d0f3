/**
 * `run`: programs this node until SIGTERM or SIGINT, then leaves everything as it is, so that traffic goes on.
 */
import { reconcile, type Reconciler } from 'kube-router-sdk/kernel';
import type { Server } from 'node:http';
import { filter, firstValueFrom, map, merge, NEVER, race, timer, type Observable } from 'rxjs';
import { page } from '../admin/page.ts';
import { openAdminPort, openAdminSocket, type AdminOptions } from '../admin/server.ts';
import { createViews } from '../admin/views.ts';
import type { Outcome } from '../cli.ts';
import type { Config } from '../config/load.ts';
import { closeServer, openHealthServer } from '../health.ts';
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
import { assemble } from '../wire.ts';

/** Blocks that must work before traffic is attracted, and how long they are waited for. */
const CARRIERS: ReadonlySet<string> = new Set(['routing', 'ipvs', 'firewall']);
const CARRY_MS = 30_000;
/** How long the start of one block is waited for before the next begins. */
const FIRST_PASS_MS = 120_000;

/** Runs the command; resolves when a signal has ended it. */
export async function run(config: Config, env: Environment): Promise<Outcome> {
  const { flags } = config;
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.once('SIGTERM', onSignal).once('SIGINT', onSignal);
  const log = createLog({ verbosity: flags.v, quiet: false }, nodeNameCandidates(config, env)[0]);
  for (const warning of config.warnings) log.warn(warning);
  if (!flags['run-router'] && !flags['run-firewall'] && !flags['run-service-proxy'] && !flags['run-loadbalancer']) {
    log.info('router, firewall, service proxy and allocator are all off: nothing to do');
    return { exitCode: exitCodes.ok };
  }
  const missing = await preflight(flags, createRunner());
  if (missing.length > 0) {
    const report: Report = { command: 'run', node: '', ok: false, blocks: [], issues: [], errors: missing };
    return { report, exitCode: exitCodes.difference };
  }
  const startedAt = Date.now();
  const state = createAgentState();
  const metrics = createMetrics();
  const servers: Server[] = [];
  const running = new Map<string, number>();
  if (flags['health-port'] !== 0) {
    servers.push(await openHealthServer(flags['health-addr'], flags['health-port'], { state, running: () => running }));
  }
  if (flags['metrics-port'] !== 0) {
    servers.push(await openMetricsServer(flags['metrics-addr'], flags['metrics-port'], flags['metrics-path'], metrics));
  }
  log.info({ version, source: flags.manifests.length > 0 ? 'manifests' : 'api' }, 'starting');
  const assembly = await assemble(config, env, { mode: 'run', state, metrics, log, signal: stop.signal });
  const loops: Reconciler[] = [];
  try {
    if (!stop.signal.aborted) {
      const admin: AdminOptions = {
        views: createViews({ node: assembly.node(), startedAt, state, providers: assembly.providers }),
        page,
        events$: state.passes$.pipe(map((data) => ({ type: 'pass', data }))),
      };
      servers.push(await openAdminSocket(socketPath(flags['run-dir']), admin));
      if (flags['admin-port'] !== 0) {
        servers.push(await openAdminPort(flags['admin-address'], flags['admin-port'], admin));
      }
      logState(log, state);
      // Sessions open when this node can carry what it announces, or when it has tried for long enough.
      const carrying = new Promise<void>((resolve) => {
        const late = setTimeout(resolve, CARRY_MS);
        late.unref();
        state.passes$.subscribe(() => {
          if (state.blocks().every(({ name, ready }) => ready || !CARRIERS.has(name))) resolve();
        });
      });
      void carrying.then(() => {
        if (!stop.signal.aborted) assembly.start();
      });
      const ended = aborted(stop.signal);
      for (const part of assembly.parts) {
        const loop = reconcile(part.desired$, part.target, { resyncMs: part.resyncMs, drift$: driftOf(part, state) });
        loops.push(loop);
        loop.events$.subscribe((event) => {
          state.setIssues(part.name, part.issues());
          state.record(event);
        });
        // One after the other, for each inserts its rules first: policy, the last, ends up in front of what accepts.
        await Promise.race([firstEvent(loop), ended]);
        if (stop.signal.aborted) break;
      }
      await ended;
    }
    log.info('stopping; the kernel keeps what it has');
  } finally {
    await Promise.all(loops.map((loop) => loop.close()));
    await assembly.close();
    await Promise.all(servers.map(closeServer));
    metrics.close();
  }
  log.info('stopped');
  return { exitCode: exitCodes.ok };
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
