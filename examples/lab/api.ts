/** The lab's own clerk at the API server: a few plain HTTP calls, as any client would make them. */
import { readFileSync, readdirSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';

/** A Kubernetes object as JSON. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string } & Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

/** The calls that the lab makes. */
export interface Api {
  /** Creates an object, or replaces the one of that name; its status too. */
  put(object: KubeObject): Promise<void>;
  /** Strategic merge patch. */
  patch(kind: string, namespace: string, name: string, patch: unknown, subresource?: 'status'): Promise<void>;
  remove(kind: string, namespace: string, name: string): Promise<void>;
}

const resources: Readonly<Record<string, readonly [path: string, plural: string]>> = {
  Node: ['/api/v1', 'nodes'],
  Namespace: ['/api/v1', 'namespaces'],
  Pod: ['/api/v1', 'pods'],
  Service: ['/api/v1', 'services'],
  EndpointSlice: ['/apis/discovery.k8s.io/v1', 'endpointslices'],
  NetworkPolicy: ['/apis/networking.k8s.io/v1', 'networkpolicies'],
};

function collection(kind: string, namespace: string | undefined): string {
  const resource = resources[kind];
  if (resource === undefined) throw new Error(`the lab does not know the kind ${kind}`);
  return namespace ? `${resource[0]}/namespaces/${namespace}/${resource[1]}` : `${resource[0]}/${resource[1]}`;
}

/** A client of the API server at `url`. */
export function createApi(url: string): Api {
  const call = async (method: string, path: string, body?: unknown, type = 'application/json'): Promise<Response> => {
    const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': type } };
    return fetch(url + path, { method, ...sent }).catch((error: unknown) => {
      throw new Error(`${method} ${path}: ${String((error as Error).cause ?? error)}`);
    });
  };
  const check = async (response: Response, what: string): Promise<Response> => {
    if (!response.ok) throw new Error(`${what}: ${response.status} ${await response.text()}`);
    return response;
  };
  return {
    put: async (object) => {
      const { name, namespace } = object.metadata;
      const folder = collection(object.kind, namespace);
      const what = `${object.kind} ${namespace ?? ''}/${name}`;
      const created = await call('POST', folder, object);
      if (created.status === 409) {
        const current = (await (await check(await call('GET', `${folder}/${name}`), what)).json()) as KubeObject;
        const metadata = { ...object.metadata, resourceVersion: current.metadata.resourceVersion };
        await check(await call('PUT', `${folder}/${name}`, { ...object, metadata }), what);
      } else await check(created, what);
      if (object.status !== undefined) {
        const type = 'application/merge-patch+json';
        await check(await call('PATCH', `${folder}/${name}/status`, { status: object.status }, type), what);
      }
    },
    patch: async (kind, namespace, name, patch, subresource) => {
      const path = `${collection(kind, namespace)}/${name}${subresource === undefined ? '' : `/${subresource}`}`;
      const type = 'application/strategic-merge-patch+json';
      await check(await call('PATCH', path, patch, type), `${kind} ${namespace}/${name}`);
    },
    remove: async (kind, namespace, name) => {
      const response = await call('DELETE', `${collection(kind, namespace)}/${name}`);
      if (response.status !== 404) await check(response, `${kind} ${namespace}/${name}`);
    },
  };
}

/** The documents of the YAML files in a folder, or of one file. */
export function loadYaml(path: string): KubeObject[] {
  const files = path.endsWith('.yaml')
    ? [path]
    : readdirSync(path)
        .sort()
        .map((file) => `${path}/${file}`);
  return files.flatMap((file) =>
    parseAllDocuments(readFileSync(file, 'utf8')).map((document) => document.toJS() as KubeObject),
  );
}
