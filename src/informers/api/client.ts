/**
 * Single calls to the API: JSON in, JSON out, every refusal an error with its status, reason and the wait it asked for.
 * Stands on connection.ts; lists, watches and writes all come through here.
 */
import { SdkError } from '../../net/errors.ts';
import { aborted, unreachable } from './connection.ts';
import type { ApiRequest, ApiResponse, Connection } from './connection.ts';

/** The largest answer that a single call reads, in bytes; lists and watches are read as streams and know no such limit. */
const MAX_BODY = 64 * 1024 * 1024;

/**
 * Makes one call and reads its JSON.
 * @throws SdkError `API_ERROR` (`details.status`, `.reason`, `.retryAfterMs`) | `API_UNREACHABLE` | `ABORTED`
 */
export async function callApi(connection: Connection, request: ApiRequest): Promise<unknown> {
  const response = await openApi(connection, request);
  const text = await readBody(response, request.signal);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw unreachable('The API server answered with something other than JSON', error);
  }
}

/**
 * Makes one call and leaves the body to the caller; refusals are read and thrown.
 * @throws SdkError `API_ERROR` | `API_UNREACHABLE` | `ABORTED`
 */
export async function openApi(connection: Connection, request: ApiRequest): Promise<ApiResponse> {
  const response = await connection.request(request);
  if (response.status >= 200 && response.status < 300) return response;
  if (response.status === 401) connection.refresh();
  // What the refusal says is for people; a server that breaks off or stalls while saying it has refused all the same.
  const text = await Promise.race([
    readBody(response, request.signal).catch(() => ''),
    new Promise<string>((resolve) => setTimeout(() => resolve(''), 2000).unref()),
  ]);
  response.body.destroy();
  throw errorOfStatus(parseJson(text), response.status, response.headers['retry-after']);
}

/** The error that a Status object of the API stands for, from an answer or an ERROR event. */
export function errorOfStatus(body: unknown, httpStatus: number, retryAfter?: string): SdkError {
  const status = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const code = typeof status['code'] === 'number' ? status['code'] : httpStatus;
  const reason = typeof status['reason'] === 'string' ? status['reason'] : '';
  const details = (typeof status['details'] === 'object' && status['details'] !== null ? status['details'] : {}) as {
    retryAfterSeconds?: unknown;
    causes?: unknown;
  };
  const causes = Array.isArray(details.causes) ? (details.causes as { reason?: unknown }[]) : [];
  const tooLarge =
    causes.some((cause) => cause?.reason === 'ResourceVersionTooLarge') ||
    String(status['message']).startsWith('Too large resource version');
  const seconds = retryAfter !== undefined ? retryAfterSeconds(retryAfter) : Number(details.retryAfterSeconds);
  const message = typeof status['message'] === 'string' && status['message'] !== '' ? status['message'] : reason;
  return new SdkError(`The API server answered ${code}${message === '' ? '' : `: ${message.slice(0, 500)}`}`, {
    code: 'API_ERROR',
    retryable: code === 429 || code >= 500 || code === 409,
    details: {
      status: code,
      reason,
      ...(tooLarge ? { tooLarge } : {}),
      ...(Number.isFinite(seconds) && seconds >= 0 ? { retryAfterMs: Math.min(seconds, 3600) * 1000 } : {}),
    },
  });
}

/** Retry-After is seconds or a date (RFC 9110 section 10.2.3). */
function retryAfterSeconds(text: string): number {
  if (/^\d+$/.test(text.trim())) return Number(text);
  return Math.max(0, (Date.parse(text) - Date.now()) / 1000);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return { message: text.slice(0, 200) };
  }
}

async function readBody(response: ApiResponse, signal: AbortSignal | undefined): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  const timer = setTimeout(() => response.body.destroy(new Error('no end of the answer within 60 s')), 60_000);
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MAX_BODY) throw new Error(`the answer is longer than ${MAX_BODY} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw signal?.aborted === true ? aborted(error) : unreachable('The connection to the API server broke', error);
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks).toString('utf8');
}
