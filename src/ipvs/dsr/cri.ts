/**
 * Asks the container runtime where a pod's network namespace is: the Container Runtime Interface over its Unix socket, as
 * containerd, CRI-O and cri-dockerd serve it. `ListPodSandbox` names the sandbox by the labels that the kubelet gives it,
 * verbose `PodSandboxStatus` tells the namespace's path and the sandbox's process. gRPC is loaded with the first question.
 * Field numbers: k8s.io/cri-api pkg/apis/runtime/v1/api.proto; v1alpha2 has the same ones.
 */
import { access } from 'node:fs/promises';
import { SdkError } from '../../net/errors.ts';
import { processNetns } from '../../kernel/netns.ts';
import { decodeMessage, encodeMessage, messageFields, textField } from './wire.ts';

/** Options of {@link createCri}. */
export interface CriOptions {
  /** `unix:///run/containerd/containerd.sock` or a plain path. */
  readonly endpoint: string;
  /** Milliseconds for one answer. @defaultValue 5000 */
  readonly timeoutMs?: number;
}

/** A container runtime that is asked. */
export interface Cri extends AsyncDisposable {
  /**
   * Path of the network namespace of a pod (`namespace/name`); undefined while it has no ready sandbox of its own, as a pod
   * on the host's network never has.
   * @throws SdkError `RUNTIME_UNREACHABLE` when nobody answers, `PARSE_FAILED` when the answer is no CRI message
   */
  findNetns(pod: string): Promise<string | undefined>;
  /** Ends the connection. */
  close(): Promise<void>;
}

const VERSIONS = ['v1', 'v1alpha2'] as const;
const UNIMPLEMENTED = 12;
const NOT_FOUND = 5;
/** PodSandboxState SANDBOX_READY and NamespaceMode NODE. */
const READY = 0;
const NODE = 2;

interface StatusInfo {
  readonly pid?: number;
  readonly runtimeSpec?: { readonly linux?: { readonly namespaces?: readonly { type?: string; path?: string }[] } };
}

type Call = (method: string, request: Uint8Array) => Promise<Uint8Array>;

/** Opens gRPC on the socket; the first version of the interface that the runtime knows is kept. */
async function dial(target: string, timeoutMs: number): Promise<{ call: Call; close: () => void }> {
  const { Client, credentials } = await import('@grpc/grpc-js');
  const client = new Client(target, credentials.createInsecure(), { 'grpc.default_authority': 'localhost' });
  const same = (bytes: Uint8Array): Buffer => Buffer.from(bytes);
  const once = (version: string, method: string, request: Uint8Array): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      const path = `/runtime.${version}.RuntimeService/${method}`;
      const deadline = Date.now() + timeoutMs;
      client.makeUnaryRequest(path, same, same, request, { deadline }, (error, answer) => {
        if (error !== null) reject(error);
        else resolve(answer ?? new Uint8Array());
      });
    });
  let known: string | undefined;
  return {
    async call(method, request) {
      if (known !== undefined) return once(known, method, request);
      for (const version of VERSIONS) {
        try {
          const answer = await once(version, method, request);
          known = version;
          return answer;
        } catch (error) {
          if ((error as { code?: number }).code !== UNIMPLEMENTED || version === VERSIONS.at(-1)) throw error;
        }
      }
      return new Uint8Array();
    },
    close: () => {
      client.close();
    },
  };
}

/** Identities of the ready sandboxes in a `ListPodSandboxResponse`, the newest first. */
export function readSandboxes(bytes: Uint8Array): string[] {
  const ready = messageFields(decodeMessage(bytes), 1).filter(
    (sandbox) => (sandbox.find(({ number }) => number === 3)?.value ?? READY) === READY,
  );
  const created = (sandbox: (typeof ready)[number]): number => sandbox.find(({ number }) => number === 4)?.value ?? 0;
  return ready.sort((a, b) => created(b) - created(a)).map((sandbox) => textField(sandbox, 1));
}

/** Where the network namespace of a sandbox may be found, best first, from a verbose `PodSandboxStatusResponse`; none on the host's network. */
export function readNetnsPaths(bytes: Uint8Array): string[] {
  const answer = decodeMessage(bytes);
  const [status = []] = messageFields(answer, 1);
  const [linux = []] = messageFields(status, 6);
  const [namespaces = []] = messageFields(linux, 1);
  const [modes = []] = messageFields(namespaces, 2);
  if (modes.some(({ number, value }) => number === 1 && value === NODE)) return [];
  const paths: string[] = [];
  for (const pair of messageFields(answer, 2)) {
    if (textField(pair, 1) !== 'info') continue;
    const info = JSON.parse(textField(pair, 2)) as StatusInfo;
    const own = info.runtimeSpec?.linux?.namespaces?.find(({ type }) => type === 'network')?.path;
    if (own !== undefined && own !== '') paths.push(own);
    if (info.pid !== undefined && info.pid > 0) paths.push(processNetns(info.pid));
  }
  return paths;
}

/** Makes a {@link Cri}. Nothing is dialled before the first question. @throws SdkError `INVALID_OPTION` for an endpoint that is no Unix socket */
export function createCri({ endpoint, timeoutMs = 5000 }: CriOptions): Cri {
  const path = endpoint.startsWith('unix://') ? endpoint.slice('unix://'.length) : endpoint;
  if (!path.startsWith('/')) {
    throw new SdkError(`endpoint: "${endpoint}" is not the absolute path of a Unix socket`, {
      code: 'INVALID_OPTION',
      details: { path: 'endpoint', text: endpoint },
    });
  }
  let connection: ReturnType<typeof dial> | undefined;
  const ask: Call = async (method, request) => {
    try {
      const { call } = await (connection ??= dial(`unix://${path}`, timeoutMs));
      return await call(method, request);
    } catch (error) {
      const { code, message } = error as Error & { code?: number };
      if (code === NOT_FOUND) return new Uint8Array();
      throw new SdkError(`the container runtime at ${path} does not answer ${method}: ${message}`, {
        code: 'RUNTIME_UNREACHABLE',
        retryable: true,
        cause: error,
        details: { endpoint: path, method },
      });
    }
  };
  const read = <T>(parse: (bytes: Uint8Array) => T, bytes: Uint8Array): T => {
    try {
      return parse(bytes);
    } catch (error) {
      const message = `the container runtime at ${path} answered with something else than CRI: ${(error as Error).message}`;
      throw new SdkError(message, { code: 'PARSE_FAILED', cause: error, details: { endpoint: path } });
    }
  };
  return {
    async findNetns(pod) {
      const [namespace = '', name = ''] = pod.split('/');
      const label = (key: string, value: string): readonly [number, Uint8Array] => [
        3,
        encodeMessage([
          [1, `io.kubernetes.pod.${key}`],
          [2, value],
        ]),
      ];
      const filter = encodeMessage([label('name', name), label('namespace', namespace)]);
      const [sandbox] = read(readSandboxes, await ask('ListPodSandbox', encodeMessage([[1, filter]])));
      if (sandbox === undefined) return undefined;
      const question = encodeMessage([
        [1, sandbox],
        [2, 1],
      ]);
      for (const place of read(readNetnsPaths, await ask('PodSandboxStatus', question))) {
        // The path may be one of the host's that is not mounted here; the process's is seen with hostPID.
        const there = await access(place).then(
          () => true,
          () => false,
        );
        if (there) return place;
      }
      return undefined;
    },
    async close() {
      const open = connection;
      connection = undefined;
      await open?.then(
        ({ close }) => close(),
        () => undefined,
      );
    },
    async [Symbol.asyncDispose]() {
      await this.close();
    },
  };
}
