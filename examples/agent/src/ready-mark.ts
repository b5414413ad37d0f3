/**
 * Tells the cluster that this node's network is in force: takes the taint away that kept pods off the node until the first
 * verified pass of every block, and, where asked to, reports the node condition NetworkUnavailable=False. A taint that is not
 * there is not looked for again; without the right to write Nodes the agent says so once and works on.
 */
import { callApi, type Connection } from 'kube-router-sdk/informers';
import { isSdkError } from 'kube-router-sdk/net';
import type { Log } from './log.ts';
import type { AgentState } from './state.ts';

/** What {@link markReady} needs. */
export interface ReadyMarkOptions {
  readonly connection: Connection;
  readonly node: string;
  readonly state: AgentState;
  readonly log: Log;
  /** Key of the taint; empty: none. */
  readonly taint: string;
  /** Whether the condition is reported. */
  readonly condition: boolean;
  /** Milliseconds between attempts. @defaultValue 5000 */
  readonly retryMs?: number;
}

interface RawNode {
  readonly metadata?: { readonly resourceVersion?: string };
  readonly spec?: { readonly taints?: readonly { readonly key?: string }[] };
}

/** Starts; returns what ends it. */
export function markReady(options: ReadyMarkOptions): () => void {
  const { connection, node, state, log, taint, condition, retryMs = 5_000 } = options;
  if (taint === '' && !condition) return () => undefined;
  const path = `/api/v1/nodes/${encodeURIComponent(node)}`;
  let ended = false;
  let begun = false;
  let timer: NodeJS.Timeout | undefined;
  let complained = '';

  const untaint = async (): Promise<void> => {
    if (taint === '') return;
    const raw = (await callApi(connection, { path })) as RawNode;
    const taints = raw.spec?.taints ?? [];
    const rest = taints.filter(({ key }) => key !== taint);
    if (rest.length === taints.length) return;
    await callApi(connection, {
      method: 'PATCH',
      path,
      contentType: 'application/merge-patch+json',
      // The version makes the API refuse the write when somebody else has changed the list meanwhile.
      body: {
        metadata: { resourceVersion: raw.metadata?.resourceVersion },
        spec: { taints: rest.length === 0 ? null : rest },
      },
    });
    log.info({ taint }, 'the taint that kept pods away is gone');
  };
  const report = async (): Promise<void> => {
    if (!condition) return;
    const now = new Date().toISOString();
    const entry = {
      type: 'NetworkUnavailable',
      status: 'False',
      reason: 'KubeRouterReady',
      message: 'every block holds what is desired',
      lastHeartbeatTime: now,
      lastTransitionTime: now,
    };
    await callApi(connection, {
      method: 'PATCH',
      path: `${path}/status`,
      contentType: 'application/strategic-merge-patch+json',
      body: { status: { conditions: [entry] } },
    });
  };
  const attempt = async (): Promise<void> => {
    try {
      await untaint();
      await report();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const status = isSdkError(error, 'API_ERROR') ? error.details['status'] : undefined;
      if (complained !== reason) log.warn({ error: reason }, 'the Node cannot be marked as ready');
      complained = reason;
      // A missing right does not come by itself; everything else is tried again.
      if (!ended && status !== 403 && status !== 404) timer = setTimeout(() => void attempt(), retryMs);
    }
  };
  const look = (): void => {
    if (begun || ended || !state.ready()) return;
    begun = true;
    void attempt();
  };
  const subscription = state.passes$.subscribe(look);
  look();
  return () => {
    ended = true;
    clearTimeout(timer);
    subscription.unsubscribe();
  };
}
