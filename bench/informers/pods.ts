/**
 * Pods as a busy cluster has them: about 3 KB of JSON, labels shared by a Deployment, everything else its own.
 */
import { createHash } from 'node:crypto';

const PER_DEPLOYMENT = 20;
const hex = (text: string) => createHash('sha256').update(text).digest('hex');

/** The pod of a number, with the moment (epoch milliseconds, fractions kept) at which it was written. */
export function benchPod(index: number, at: number): Record<string, unknown> {
  const deployment = Math.floor(index / PER_DEPLOYMENT);
  const namespace = `team-${deployment % 100}`;
  const hash = hex(`d${deployment}`).slice(0, 10);
  const id = hex(`p${index}`);
  const name = `service-${deployment}-${hash}-${id.slice(0, 5)}`;
  const ip = `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
  const node = `node-${index % 500}`;
  const time = '2026-01-01T00:00:00Z';
  const condition = (type: string) => ({ type, status: 'True', lastProbeTime: null, lastTransitionTime: time });
  const fields = Object.fromEntries(['f:metadata', 'f:spec'].map((key) => [key, { '.': {}, 'f:x': {} }]));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      generateName: `service-${deployment}-${hash}-`,
      namespace,
      uid: `${id.slice(0, 8)}-${id.slice(8, 12)}-4${id.slice(12, 15)}-8${id.slice(15, 18)}-${id.slice(18, 30)}`,
      creationTimestamp: time,
      labels: { app: `service-${deployment}`, 'pod-template-hash': hash, tier: deployment % 2 === 0 ? 'web' : 'data' },
      annotations: { 'kube-router.io/bench': String(at), 'prometheus.io/scrape': 'true' },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `service-${deployment}-${hash}`, uid: id, controller: true },
      ],
      managedFields: ['kube-controller-manager', 'kubelet'].map((manager) => ({
        manager,
        operation: 'Update',
        apiVersion: 'v1',
        time,
        fieldsType: 'FieldsV1',
        fieldsV1: fields,
      })),
    },
    spec: {
      nodeName: node,
      serviceAccountName: 'default',
      terminationGracePeriodSeconds: 30,
      dnsPolicy: 'ClusterFirst',
      restartPolicy: 'Always',
      schedulerName: 'default-scheduler',
      containers: [
        {
          name: 'main',
          image: `registry.example.com/team/service-${deployment}:v1.2.3`,
          ports: [
            { name: 'http', containerPort: 8080, protocol: 'TCP' },
            { name: 'metrics', containerPort: 9090, protocol: 'TCP' },
          ],
          env: Array.from({ length: 3 }, (_, n) => ({ name: `SETTING_${n}`, value: `value-${n}-of-${hash}` })),
          resources: { limits: { cpu: '1', memory: '512Mi' }, requests: { cpu: '100m', memory: '128Mi' } },
          volumeMounts: [
            { name: 'kube-api-access', readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
          ],
          livenessProbe: {
            httpGet: { path: '/healthz', port: 8080, scheme: 'HTTP' },
            timeoutSeconds: 1,
            periodSeconds: 10,
          },
        },
      ],
      tolerations: [
        { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
        { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
      ],
      volumes: [
        {
          name: 'kube-api-access',
          projected: { sources: [{ serviceAccountToken: { path: 'token' } }], defaultMode: 420 },
        },
      ],
    },
    status: {
      phase: 'Running',
      conditions: ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => condition(type)),
      hostIP: `192.168.${(index % 500) >> 8}.${(index % 500) & 255}`,
      hostIPs: [{ ip: `192.168.${(index % 500) >> 8}.${(index % 500) & 255}` }],
      podIP: ip,
      podIPs: [{ ip }],
      startTime: time,
      containerStatuses: [
        {
          name: 'main',
          state: { running: { startedAt: time } },
          ready: true,
          restartCount: 0,
          image: `registry.example.com/team/service-${deployment}:v1.2.3`,
          imageID: `registry.example.com/team/service@sha256:${hex(`i${deployment}`)}`,
          containerID: `containerd://${id}`,
          started: true,
        },
      ],
      qosClass: 'Burstable',
    },
  };
}

/** Epoch milliseconds with fractions, comparable between processes of one machine. */
export const preciseNow = (): number => performance.timeOrigin + performance.now();
