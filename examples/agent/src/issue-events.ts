/**
 * Issues of user objects as Kubernetes Events on those objects, so that whoever wrote them sees what is wrong with them.
 */
import type { EventRecorder } from 'kube-router-sdk/informers';
import type { Issue } from 'kube-router-sdk/net';
import type { AgentState } from './state.ts';

const API_VERSIONS: Readonly<Record<string, string>> = {
  Node: 'v1',
  Namespace: 'v1',
  Pod: 'v1',
  Service: 'v1',
  EndpointSlice: 'discovery.k8s.io/v1',
  NetworkPolicy: 'networking.k8s.io/v1',
  ClusterNetworkPolicy: 'policy.networking.k8s.io/v1alpha2',
};

/** The object that an issue is about; undefined when it is none of the API's. */
export function aboutOf(issue: Issue): Parameters<EventRecorder['record']>[0]['about'] | undefined {
  const [kind = '', key = ''] = issue.object.split(' ');
  const apiVersion = API_VERSIONS[kind];
  if (apiVersion === undefined || key === '') return undefined;
  const slash = key.indexOf('/');
  return { apiVersion, kind, namespace: slash === -1 ? '' : key.slice(0, slash), name: key.slice(slash + 1) };
}

/** Records each new issue once; returns what ends it. */
export function recordIssues(state: AgentState, events: EventRecorder): () => void {
  let known = new Set<string>();
  const subscription = state.issues$.subscribe((issues) => {
    const now = new Set<string>();
    for (const issue of issues) {
      const id = `${issue.object}\n${issue.field}\n${issue.reason}`;
      now.add(id);
      const about = known.has(id) ? undefined : aboutOf(issue);
      if (about === undefined) continue;
      const message = issue.field === '' ? issue.reason : `${issue.field}: ${issue.reason}`;
      events.record({ about, type: 'Warning', reason: 'NetworkConfigurationIssue', message });
    }
    known = now;
  });
  return () => subscription.unsubscribe();
}
