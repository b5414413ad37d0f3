/**
 * Two states of one small cluster between which everything changes that can: a pod's labels, so that it moves between classes and
 * sets, a policy's rules, a policy that comes and one that goes; and so many classes that the way to them changes too: those of the
 * pods that are probed are found over TCP by the tree in one direction and by ways of their own in the other, and then the other way round.
 */
import type { Protocol } from '../../../src/net/index.ts';
import { labels, namespace, pod, policy } from './objects.ts';

const web = { podSelector: labels({ app: 'web' }) };
const db = { podSelector: labels({ app: 'db' }) };
const tcp = (port: number) => [{ protocol: 'TCP' as const, port }];
const udp = (port: number) => [{ protocol: 'UDP' as const, port }];

type Rule = (port: number) => { readonly protocol: Protocol; readonly port: number }[];

/** Pods that nobody runs, each with policies of its own, from the n-th on. */
const crowd = (first: number, ingress: Rule, egress: Rule) => {
  const kinds = Array.from({ length: 12 }, (_, at) => `${first + at}`);
  return {
    pods: kinds.map((k, at) => pod(`x/k${k}`, [`10.1.0.${first + at + 20}`, `fd00:1::${first + at + 20}`], { k })),
    policies: kinds.map((k) => {
      const own = (rule: Rule) => [{ peers: [], ports: rule(8000 + Number(k)) }];
      return policy(`x/k${k}`, labels({ k }), { ingress: own(ingress), egress: own(egress) });
    }),
  };
};

/** Pods that nobody runs and the same policies select: with the last of 64 they are so many that they are asked for first. */
const herd = (count: number) =>
  Array.from({ length: count }, (_, at) => pod(`x/h${at}`, [`10.1.1.${at + 1}`, `fd00:1::1:${at + 1}`], { herd: '1' }));
const tended = policy('x/herd', labels({ herd: '1' }), { ingress: [{ peers: [web], ports: tcp(80) }], egress: [] });

const pods = (b: string) => [
  pod('x/a', ['10.1.0.1', 'fd00:1::1'], { app: 'a' }),
  pod('x/b', ['10.1.0.2', 'fd00:1::2'], { app: b }),
  pod('x/c', ['10.1.0.3', 'fd00:1::3'], { app: 'db' }),
];
const namespaces = [namespace('x')];
const closed = policy('x/closed', labels({ app: 'a' }), { ingress: [{ peers: [web, db], ports: tcp(80) }] });

const crowds = { before: crowd(0, tcp, udp), after: crowd(4, udp, tcp) };

export const CRASH_STATES = {
  before: {
    pods: [...pods('web'), ...crowds.before.pods, ...herd(63)],
    namespaces,
    policies: [
      closed,
      tended,
      policy('x/egress-web', labels({ app: 'web' }), {
        egress: [{ peers: [{ podSelector: labels() }], ports: tcp(80) }],
      }),
      policy('x/db', labels({ app: 'db' }), { ingress: [{ peers: [web], ports: tcp(80) }] }),
      ...crowds.before.policies,
    ],
  },
  after: {
    pods: [...pods('db'), ...crowds.after.pods, ...herd(64)],
    namespaces,
    policies: [
      closed,
      tended,
      policy('x/egress-db', labels({ app: 'db' }), {
        egress: [{ peers: [{ podSelector: labels({ app: 'a' }) }], ports: tcp(80) }],
      }),
      policy('x/db', labels({ app: 'db' }), { ingress: [{ peers: [db], ports: tcp(81) }] }),
      ...crowds.after.policies,
    ],
  },
} as const;
