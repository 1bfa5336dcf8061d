/** Unary methods with their types and HTTP forms, read off the contract's descriptors. */
import { getOption, hasOption, type DescMethod, type Message } from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';
import { invariant } from '../core/invariant.ts';
import { QUERY, type QueryMethod } from '../core/query.ts';
import { codecOf, type Codec } from '../proto/codec.ts';
import { DecodeError } from '../proto/decode-error.ts';
import * as link from '../proto/gen/parley/broker/v1/link_pb.ts';
import { ConversationsService } from '../proto/gen/parley/client/v1/conversations_pb.ts';
import { MessagesService } from '../proto/gen/parley/client/v1/messages_pb.ts';
import { SyncService } from '../proto/gen/parley/client/v1/sync_pb.ts';
import {
  AuthService,
  DevicesService,
  UsersService,
} from '../proto/gen/parley/client/v1/users_pb.ts';
import { http } from '../proto/gen/parley/v1/options_pb.ts';
import { ParleyError } from '../core/errors.ts';
import { METHODS, type MethodName } from './session/method-names.ts';

export interface HttpForm {
  readonly verb: string;
  readonly path: string;
  readonly status: number;
}

/** Codecs are over shapes that differ by method; `Message` stands for whichever it is. */
export interface Method {
  readonly name: MethodName;
  readonly input: Codec<Message>;
  readonly output: Codec<Message>;
  readonly http: HttpForm;
}

export interface QueryForm {
  readonly number: number;
  readonly input: Codec<Message>;
  readonly output: Codec<Message>;
}

const SERVICES = [
  AuthService,
  UsersService,
  DevicesService,
  MessagesService,
  SyncService,
  ConversationsService,
];

export const METHOD_TABLE: ReadonlyMap<MethodName, Method> = methodTable();

export function methodNamed(name: MethodName): Method {
  const method = METHOD_TABLE.get(name);
  invariant(method !== undefined, 'gateway.method-known', { name });
  return method;
}

type Pair = readonly [GenMessage<Message>, GenMessage<Message>];

const LINK_QUERIES: Partial<Record<QueryMethod, Pair>> = {
  'Link.Directory': [link.DirectoryQuerySchema, link.DirectoryAnswerSchema],
  'Link.Changed': [link.ChangedQuerySchema, link.ChangedAnswerSchema],
  'Link.Views': [link.ViewsQuerySchema, link.ViewsAnswerSchema],
  'Link.CatchUp': [link.CatchUpQuerySchema, link.CatchUpAnswerSchema],
  'Link.Members': [link.MembersQuerySchema, link.MembersAnswerSchema],
  'Link.Fits': [link.FitsQuerySchema, link.FitsAnswerSchema],
};

const QUERY_TABLE: ReadonlyMap<QueryMethod, QueryForm> = queryTable();

export function queryNamed(name: QueryMethod): QueryForm {
  const form = QUERY_TABLE.get(name);
  invariant(form !== undefined, 'gateway.query-known', { name });
  return form;
}

/** What a caller is told of an input that could not be read. */
export function refusalOf(error: unknown): ParleyError {
  if (error instanceof ParleyError) return error;
  if (!(error instanceof DecodeError))
    return new ParleyError('MALFORMED', 'the input cannot be read', {}, { cause: error });
  const { path } = error;
  switch (error.fault) {
    case 'unknown-field':
      return new ParleyError('UNKNOWN_FIELD', `${path} is not known to this version`, { path });
    case 'bad-text':
      return new ParleyError('BAD_TEXT', `${path} is not UTF-8`, { field: path });
    case 'bad-field':
      return new ParleyError('BAD_FIELD', `${path} does not have the form it must have`, {
        field: path,
      });
    case 'malformed':
      return path === ''
        ? new ParleyError('MALFORMED', 'the input cannot be read')
        : new ParleyError('BAD_FIELD', `${path} cannot be read`, { field: path });
  }
}

function methodTable(): Map<MethodName, Method> {
  const table = new Map<MethodName, Method>();
  for (const service of SERVICES) {
    const short = service.name.replace(/Service$/, '');
    for (const method of service.methods as readonly DescMethod[]) {
      const name = METHODS.find((known) => known === `${short}.${method.name}`);
      if (name === undefined) continue;
      table.set(name, {
        name,
        input: codecOf(method.input as GenMessage<Message>),
        output: codecOf(method.output as GenMessage<Message>),
        http: httpForm(method),
      });
    }
  }
  for (const name of METHODS) invariant(table.has(name), 'gateway.method-described', { name });
  return table;
}

function httpForm(method: DescMethod): HttpForm {
  invariant(hasOption(method, http), 'gateway.method-has-http', { name: method.name });
  const rule = getOption(method, http);
  return { verb: rule.method, path: rule.path, status: rule.status === 0 ? 200 : rule.status };
}

function queryTable(): Map<QueryMethod, QueryForm> {
  const table = new Map<QueryMethod, QueryForm>();
  for (const name of Object.keys(QUERY) as QueryMethod[]) {
    const number = QUERY[name];
    const own = LINK_QUERIES[name];
    if (own !== undefined) {
      table.set(name, { number, input: codecOf(own[0]), output: codecOf(own[1]) });
      continue;
    }
    const method = METHODS.find((known) => known === name);
    invariant(method !== undefined, 'gateway.query-is-a-method', { name });
    const { input, output } = methodNamed(method);
    table.set(name, { number, input, output });
  }
  return table;
}
