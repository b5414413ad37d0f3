import { describe, expect, it } from 'vitest';
import { readDocuments } from './documents.ts';

const read = (text: string) => {
  const { objects, issues } = readDocuments(text, 'a.yaml');
  return {
    names: objects.map((one) => `${one.kind} ${one.key}${one.object === undefined ? ' (broken)' : ''}`),
    issues: [...issues, ...objects.flatMap((one) => one.issues)].map(
      (one) => `${one.source} ${one.object} ${one.field}`,
    ),
  };
};

const service = (name: string, extra = '') => `apiVersion: v1
kind: Service
metadata:
  name: ${name}
spec:
  clusterIP: 172.16.0.1${extra}
`;

describe('documents', () => {
  it('reads many documents, comments, directives and end markers', () => {
    const text = `# a comment\n%YAML 1.2\n---\n${service('a')}...\n---\n# nothing\n---\n${service('b')}`;
    expect(read(text)).toEqual({ names: ['Service default/a', 'Service default/b'], issues: [] });
  });

  it('a syntax error is one issue at its place, and ends with its document', () => {
    const broken = 'apiVersion: v1\nkind: Service\nmetadata:\n  name: b\n  labels: {a: "\n';
    const result = read(`${service('a')}---\n${broken}---\n${service('c')}`);
    expect(result.names).toEqual(['Service default/a', 'Service default/b (broken)', 'Service default/c']);
    expect(result.issues).toHaveLength(1);
    expect(result.issues[0]).toMatch(/^a\.yaml:1[0-3]:\d+ Service default\/b $/);
  });

  it('names line and column of a bad field', () => {
    const text = `${service('a')}---\n${service('b', '\n  ports:\n    - name: x\n      port: "80"')}`;
    expect(read(text)).toEqual({
      names: ['Service default/a', 'Service default/b'],
      issues: ['a.yaml:16:7 Service default/b spec.ports[0].port'],
    });
  });

  it('010.0.0.1 is no address', () => {
    const text = service('a').replace('172.16.0.1', '010.0.0.1');
    expect(read(text).issues).toEqual(['a.yaml:6:3 Service default/a spec.clusterIP']);
  });

  it('reads List and typed lists, with places inside', () => {
    const list = JSON.stringify({
      apiVersion: 'v1',
      kind: 'List',
      items: [
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'n' } },
        { apiVersion: 'v1', kind: 'PodList', items: [{ metadata: { name: 'p' }, spec: { nodeName: 5 } }] },
        { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' } },
      ],
    });
    const result = read(list);
    expect(result.names).toEqual(['Namespace n', 'Pod default/p']);
    expect(result.issues).toEqual([`a.yaml:1:${list.indexOf('"nodeName"') + 1} Pod default/p spec.nodeName`]);
  });

  it.each([
    ['text', 'hello', 'a.yaml:1:1 Manifest a.yaml '],
    ['no kind', 'apiVersion: v1\nmetadata: {}', 'a.yaml:1:1 Manifest a.yaml kind'],
    ['no version', 'kind: Pod', 'a.yaml:1:1 Manifest a.yaml apiVersion'],
    [
      'an old version',
      '{apiVersion: discovery.k8s.io/v1beta1, kind: EndpointSlice}',
      'a.yaml:1:2 Manifest a.yaml apiVersion',
    ],
    ['a list that is none', 'apiVersion: v1\nkind: List\nitems: 3', 'a.yaml:3:1 Manifest a.yaml items'],
    ['an item that is none', 'apiVersion: v1\nkind: List\nitems:\n  - 3', 'a.yaml:4:5 Manifest a.yaml items[0]'],
    ['no name', 'apiVersion: v1\nkind: Pod\nmetadata: {}', 'a.yaml:3:1 Pod metadata.name'],
    ['a doubled key', 'apiVersion: v1\nkind: Pod\nkind: Pod\nmetadata: {name: x}', 'a.yaml:3:1 Pod default/x '],
  ])('%s is an issue', (_, text, expected) => {
    expect(read(text).issues).toEqual([expected]);
  });

  it.each([
    ['another kind', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}'],
    ['our kind of another group', 'apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: x}'],
    ['an empty document', '---\n---\n# c\n'],
  ])('%s is passed over', (_, text) => {
    expect(read(text)).toEqual({ names: [], issues: [] });
  });

  it('aliases that multiply are an issue, not an afternoon', () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefgh'].map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefg'[i]}`).join()}]`).join('\n')}\n`;
    const started = performance.now();
    expect(read(bomb).issues).toHaveLength(1);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
