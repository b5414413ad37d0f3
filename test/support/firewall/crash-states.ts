/**
 * Two states of one small cluster between which everything changes that can: a pod's labels, so that it moves between classes and
 * sets, a policy's rules, a policy that comes and one that goes.
 */
import { labels, namespace, pod, policy } from './objects.ts';

const web = { podSelector: labels({ app: 'web' }) };
const db = { podSelector: labels({ app: 'db' }) };
const tcp = (port: number) => [{ protocol: 'TCP' as const, port }];

const pods = (b: string) => [
  pod('x/a', ['10.1.0.1', 'fd00:1::1'], { app: 'a' }),
  pod('x/b', ['10.1.0.2', 'fd00:1::2'], { app: b }),
  pod('x/c', ['10.1.0.3', 'fd00:1::3'], { app: 'db' }),
];
const namespaces = [namespace('x')];
const closed = policy('x/closed', labels({ app: 'a' }), { ingress: [{ peers: [web, db], ports: tcp(80) }] });

export const CRASH_STATES = {
  before: {
    pods: pods('web'),
    namespaces,
    policies: [
      closed,
      policy('x/egress-web', labels({ app: 'web' }), {
        egress: [{ peers: [{ podSelector: labels() }], ports: tcp(80) }],
      }),
      policy('x/db', labels({ app: 'db' }), { ingress: [{ peers: [web], ports: tcp(80) }] }),
    ],
  },
  after: {
    pods: pods('db'),
    namespaces,
    policies: [
      closed,
      policy('x/egress-db', labels({ app: 'db' }), {
        egress: [{ peers: [{ podSelector: labels({ app: 'a' }) }], ports: tcp(80) }],
      }),
      policy('x/db', labels({ app: 'db' }), { ingress: [{ peers: [db], ports: tcp(81) }] }),
    ],
  },
} as const;
