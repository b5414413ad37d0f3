/**
 * Policies before they are in force: reads a folder of manifests and answers without privileges.
 * `node main.ts FOLDER` prints what a node would program; `node main.ts FOLDER FROM TO PORT` says whether that connection may be made, and why.
 */
import { lastValueFrom, of, take } from 'rxjs';
import { compile, createFirewallTarget, evaluate } from 'kube-router-sdk/firewall';
import { createInformers, createManifestSource } from 'kube-router-sdk/informers';
import { reconcile } from 'kube-router-sdk/kernel';
import { createRecordingRunner } from 'kube-router-sdk/testing';

const [folder = 'manifests', source, destination, port = '80'] = process.argv.slice(2);
await using informers = createInformers({
  source: await createManifestSource({ paths: [folder], watch: false }),
  kinds: ['Pod', 'Namespace', 'NetworkPolicy'],
});
const pods = [...informers.pods.snapshot().items.values()];
const namespaces = [...informers.namespaces.snapshot().items.values()];
const policies = [...informers.networkPolicies.snapshot().items.values()];

if (source !== undefined && destination !== undefined) {
  const flow = { source, destination, protocol: 'tcp', port: Number(port) };
  const { verdict, because } = evaluate({ pods, namespaces, policies }, flow);
  const who = because.policy ?? because.policies?.join(', ') ?? 'no policy';
  console.log(
    `${source} -> ${destination}:${port} ${verdict}: ${because.direction} of ${because.pod}, ${because.reason}, ${who}`,
  );
} else {
  const node = pods[0]?.nodeName ?? '';
  const { state, issues } = compile({ pods, namespaces, policies, node });
  for (const issue of issues) console.log(`! ${issue.object} ${issue.field}: ${issue.reason}`);
  // a runner that runs nothing: what it was asked for is what a real one would do
  const runner = createRecordingRunner();
  await using loop = reconcile(
    of({ state, synced: true }),
    createFirewallTarget({ runner, families: [4], flavour: 'legacy' }),
  );
  await lastValueFrom(loop.events$.pipe(take(1)));
  for (const { file, input } of runner.commands) if (input !== undefined) console.log(`# ${file}\n${input.trimEnd()}`);
}
