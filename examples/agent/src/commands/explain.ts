/**
 * `explain`: whether one end may reach the other and which policy and rule decide; asked of the running agent, or of
 * `--manifests` and `--kubeconfig` when they are given.
 */
import type { evaluate } from 'kube-router-sdk/firewall';
import { SdkError } from 'kube-router-sdk/net';
import { askAgent } from '../admin/client.ts';
import { explainFlow, readFlow } from '../blocks/firewall.ts';
import type { Outcome, Streams } from '../cli.ts';
import type { Config } from '../config/load.ts';
import type { Environment } from '../node.ts';
import { socketPath } from '../paths.ts';
import { exitCodes, renderReport, type Report } from '../report.ts';
import { followsClusterPolicies } from '../sources.ts';
import { openObjects } from '../wire.ts';

type Verdict = ReturnType<typeof evaluate>;
type Decision = Verdict['because'];

/** One direction in words. */
export function decisionText(decision: Decision): string {
  const pod = decision.pod ?? 'that end';
  switch (decision.reason) {
    case 'rule': {
      const kind = decision.tier === undefined ? 'NetworkPolicy' : `ClusterNetworkPolicy (${decision.tier} tier)`;
      const said = decision.verdict === 'allow' ? 'allowed' : 'denied';
      return `${said} by ${decision.direction} rule ${decision.rule} of ${kind} ${decision.policy}`;
    }
    case 'isolated':
      return `denied: ${pod} is isolated for ${decision.direction} by ${(decision.policies ?? []).join(', ')}, and no rule allows it`;
    case 'unselected':
      return `allowed: no policy selects ${pod} for ${decision.direction}`;
    case 'no-pod':
      return `allowed: no pod under policy at that end (${decision.direction})`;
    case 'elsewhere':
      return `allowed here: another node enforces ${decision.direction} of ${pod}`;
    case 'itself':
      return 'allowed: a pod reaches itself';
    case 'own-node':
      return "allowed: a pod's own node reaches it";
  }
}

/** Runs the command. */
export async function explain(config: Config, env: Environment, streams: Streams): Promise<Outcome> {
  const { from, to, port, protocol, output, manifests, kubeconfig } = config.flags;
  const query = new URLSearchParams({ from, to, port: String(port), protocol });
  try {
    readFlow(query);
  } catch (error) {
    throw new SdkError((error as Error).message, { code: 'INVALID_OPTION' });
  }
  const asked =
    manifests.length > 0 || kubeconfig !== ''
      ? await fromObjects(config, env, query)
      : ((await askAgent(config.flags['run-dir'], `/explain?${query}`)) as Verdict | undefined);
  if (asked === undefined) {
    throw new SdkError(
      `no agent runs with ${socketPath(config.flags['run-dir'])}; start one, or give --manifests or --kubeconfig`,
      { code: 'API_UNREACHABLE' },
    );
  }
  const allowed = asked.verdict === 'allow';
  if (output === 'json') {
    const report: Report = {
      command: 'explain',
      node: env['NODE_NAME'] ?? config.flags['hostname-override'],
      ok: allowed,
      blocks: [],
      issues: [],
      verdict: asked,
    };
    streams.out(renderReport(report, 'json'));
  } else {
    const lines = [
      `${from} -> ${to} ${protocol}${port === 0 ? '' : `/${port}`}: ${allowed ? 'allowed' : 'denied'}`,
      `  egress:  ${decisionText(asked.egress)}`,
      `  ingress: ${decisionText(asked.ingress)}`,
    ];
    streams.out(`${lines.join('\n')}\n`);
  }
  return { exitCode: allowed ? exitCodes.ok : exitCodes.denied };
}

async function fromObjects(config: Config, env: Environment, query: URLSearchParams): Promise<Verdict> {
  const more = followsClusterPolicies(config.flags) ? (['ClusterNetworkPolicy'] as const) : [];
  const opened = await openObjects(config, env, ['Pod', 'Namespace', 'NetworkPolicy', 'Node', ...more]);
  try {
    await opened.synced(AbortSignal.timeout(config.flags['cache-sync-timeout']));
    return explainFlow({ objects: opened.objects, config }, readFlow(query));
  } finally {
    await opened.objects.close();
  }
}
