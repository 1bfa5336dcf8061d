/** For tests: a question to a node's store, as a gateway's query record puts it. */
import type { Message } from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';
import { ParleyError } from '../../../core/errors.ts';
import { SILENT } from '../../../core/observe.ts';
import { QUERY, type QueryMethod } from '../../../core/query.ts';
import { codecOf, type Plain, type Sparse } from '../../../proto/codec.ts';
import type { TestNode } from '../../runtime/testing/test-node.ts';
import { queryHandlerOf } from '../query-service.ts';

export interface Form<Req extends Message, Res extends Message> {
  readonly method: QueryMethod;
  readonly request: GenMessage<Req>;
  readonly response: GenMessage<Res>;
}

/** Rejects with the store's refusal. */
export function ask<Req extends Message, Res extends Message>(
  node: TestNode,
  user: Uint8Array,
  form: Form<Req, Res>,
  request: Sparse<Req>,
): Promise<Plain<Res>> {
  const handler = queryHandlerOf(node.store.reads, SILENT);
  const answer = new Promise<Plain<Res>>((resolve, reject) =>
    handler.query(
      {
        method: QUERY[form.method],
        caller: user,
        device: new Uint8Array(16),
        request: codecOf(form.request).encode(request),
      },
      {
        result: (bytes) => resolve(codecOf(form.response).decode(bytes)),
        error: ({ reason, message }) => reject(new ParleyError(reason, message)),
      },
    ),
  );
  return node.until(answer);
}
