/**
 * As much of the protobuf wire format as the questions to a container runtime need: length-delimited fields and varints, both
 * ways. A schema compiler and its runtime would weigh more than the four messages that are read here.
 * Source: protobuf.dev/programming-guides/encoding. Pure.
 */

/** One field of a message: bytes of a string or message, or a number. */
export interface WireField {
  readonly number: number;
  readonly bytes?: Uint8Array;
  readonly value?: number;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
  return bytes;
}

/** A message of fields: text and nested messages by length, numbers and booleans as varints. */
export function encodeMessage(fields: readonly (readonly [number, string | Uint8Array | number])[]): Uint8Array {
  const parts = fields.map(([number, value]) => {
    if (typeof value === 'number') return Buffer.from([...varint(number << 3), ...varint(value)]);
    const body = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
    return Buffer.concat([Buffer.from([...varint((number << 3) | 2), ...varint(body.length)]), body]);
  });
  return Buffer.concat(parts);
}

/** The fields of a message in their order; what is cut short or of an unknown type is a RangeError. */
export function decodeMessage(bytes: Uint8Array): WireField[] {
  const fields: WireField[] = [];
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new RangeError('a protobuf message is cut short');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw new RangeError('a protobuf message is cut short');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = readVarint();
    const number = Math.floor(tag / 8);
    const type = tag % 8;
    if (type === 0) fields.push({ number, value: readVarint() });
    else if (type === 2) fields.push({ number, bytes: take(readVarint()) });
    else if (type === 1 || type === 5) take(type === 1 ? 8 : 4);
    else throw new RangeError(`a protobuf field of wire type ${type}`);
  }
  return fields;
}

/** Text of the first field with this number; empty when it is absent. */
export function textField(fields: readonly WireField[], number: number): string {
  const bytes = fields.find((field) => field.number === number)?.bytes;
  return bytes === undefined ? '' : Buffer.from(bytes).toString('utf8');
}

/** Messages of a repeated field. */
export function messageFields(fields: readonly WireField[], number: number): WireField[][] {
  return fields.flatMap((field) =>
    field.number === number && field.bytes !== undefined ? [decodeMessage(field.bytes)] : [],
  );
}
