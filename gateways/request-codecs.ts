/** How requests are read and contents written, for sessions, which know no encodings. */
import { codecOf } from '../proto/codec.ts';
import { ContentSchema } from '../proto/gen/parley/v1/content_pb.ts';
import { encodeTextContent } from './hot-frames.ts';
import { methodNamed, refusalOf } from './methods.ts';
import type { MethodName } from './session/method-names.ts';
import type { Content } from './session/session-contract.ts';

const contents = codecOf(ContentSchema);

/** Most of what people send is a text and nothing else. */
export function contentBytes(content: Content): Uint8Array {
  const { message } = content;
  const isText =
    message?.text !== undefined &&
    message.text.body !== '' &&
    message.text.entities.length === 0 &&
    message.attachments.length === 0 &&
    message.replyTo === 0 &&
    message.forwardOf === '' &&
    message.custom === undefined &&
    message.fallback === '' &&
    message.expireAfterMs === 0 &&
    !message.silent;
  // What else is set beside a message is refused when the content is checked.
  return isText && message.text !== undefined && isOnlyMessage(content)
    ? encodeTextContent(message.text.body)
    : contents.encode(content);
}

function isOnlyMessage(content: Content): boolean {
  let count = 0;
  for (const kind of Object.values(content)) if (kind !== undefined) count++;
  return count === 1;
}

/** A call's request: bytes in protobuf frames, a JSON value in JSON ones. */
export function readRequest(method: MethodName, request: unknown): unknown {
  const { input } = methodNamed(method);
  try {
    // A copy: what is answered later must not stand on bytes that the carrier takes back.
    if (request instanceof Uint8Array) return input.decode(request.slice());
    return input.fromJson(request ?? {});
  } catch (error) {
    throw refusalOf(error);
  }
}
