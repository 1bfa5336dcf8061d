/** Paths of the API, from the contract's HTTP options, and what of them needs a word of its own. */
import { ParleyError } from '../../core/errors.ts';
import { METHOD_TABLE } from '../methods.ts';
import type { MethodName } from '../session/method-names.ts';
import type { Fields } from './request-input.ts';

export interface Route {
  readonly method: MethodName;
  readonly verb: string;
  readonly status: number;
  /** Turns what path, query and body say into the method's request. */
  readonly shape: (fields: Fields) => Fields;
}

export interface RouteMatch {
  readonly route: Route;
  readonly path: Readonly<Record<string, string>>;
}

interface Pattern {
  readonly regex: RegExp;
  readonly names: readonly string[];
  readonly route: Route;
}

/** The field of a PATCH request that holds the resource; its body may be the resource itself. */
const PATCHED: Partial<Record<MethodName, string>> = {
  'Users.UpdateMe': 'user',
  'Devices.Update': 'device',
  'Conversations.Update': 'conversation',
  'Conversations.SetMyState': 'me',
};
const OF_THE_REQUEST: ReadonlySet<string> = new Set([
  'conversationId',
  'deviceId',
  'updateMask',
  'ifMatch',
]);
const MESSAGE = '/v1/conversations/{to}/messages/{sequence}';

export class RouteTable {
  readonly #patterns: readonly Pattern[];

  constructor() {
    const patterns: Pattern[] = [];
    for (const method of METHOD_TABLE.values()) {
      const { verb, path, status } = method.http;
      const resource = PATCHED[method.name];
      const shape = resource === undefined ? asItIs : (fields: Fields) => patch(fields, resource);
      patterns.push(patternOf(path, { method: method.name, verb, status, shape }));
    }
    patterns.push(...messagePatterns());
    // More literal text first: `…:sync` before `…{id}`, `users/me` before `users/{id}`.
    this.#patterns = patterns.sort((a, b) => b.regex.source.length - a.regex.source.length);
  }

  /** undefined = there is no such path with this verb. */
  match(verb: string, path: string): RouteMatch | undefined {
    for (const { regex, names, route } of this.#patterns) {
      if (route.verb !== verb) continue;
      const found = regex.exec(path);
      if (found === null) continue;
      const values = names.map((name, i) => [name, decoded(found[i + 1] ?? '')]);
      return { route, path: Object.fromEntries(values) as Record<string, string> };
    }
    return undefined;
  }
}

function patternOf(path: string, route: Route): Pattern {
  const names: string[] = [];
  const source = path
    .split(/(\{\w+\})/)
    .map((part) => {
      if (!part.startsWith('{')) return part.replaceAll(/[.*+?^$()[\]\\|]/g, String.raw`\$&`);
      names.push(camel(part.slice(1, -1)));
      return '([^/]+)';
    })
    .join('');
  return { regex: new RegExp(`^${source}$`), names, route };
}

/** Edits, deletes and reactions are sends; one message is a list of one. */
function messagePatterns(): Pattern[] {
  const method = 'Messages.Send';
  const sent = (verb: string, path: string, aim: Aim): Pattern =>
    patternOf(path, { method, verb, status: 200, shape: (fields) => aimed(fields, aim) });
  return [
    sent('PATCH', MESSAGE, (target, { message, ...rest }) => [{ edit: { target, message } }, rest]),
    sent('DELETE', MESSAGE, (target, rest) => [{ delete: { target } }, rest]),
    sent('PUT', `${MESSAGE}/reactions/{emoji}`, (target, { emoji, ...rest }) => [
      { reaction: { target, emoji, op: 'add' } },
      rest,
    ]),
    sent('DELETE', `${MESSAGE}/reactions/{emoji}`, (target, { emoji, ...rest }) => [
      { reaction: { target, emoji, op: 'remove' } },
      rest,
    ]),
    patternOf('/v1/conversations/{conversation_id}/messages/{sequence}', {
      method: 'Messages.List',
      verb: 'GET',
      status: 200,
      shape: asItIs,
    }),
  ];
}

/** The body that the fields describe, and the fields that it did not take: the method judges those. */
type Aim = (target: Fields, fields: Fields) => readonly [body: Fields, rest: Fields];

function aimed(fields: Fields, aim: Aim): Fields {
  const { sequence, ...others } = fields;
  const [body, rest] = aim({ sequence }, others);
  if (rest['body'] !== undefined)
    throw new ParleyError('UNKNOWN_FIELD', 'the path says what is sent', { path: 'body' });
  return { ...rest, body };
}

const asItIs = (fields: Fields): Fields => fields;

/** PATCH changes the keys that are present; null clears. */
function patch(fields: Fields, resource: string): Fields {
  if (fields[resource] !== undefined) return fields;
  const request: Fields = {};
  const changed: Fields = {};
  for (const [name, value] of Object.entries(fields))
    (OF_THE_REQUEST.has(name) ? request : changed)[name] = value;
  const mask = request['updateMask'] ?? Object.keys(changed);
  return { ...request, [resource]: changed, updateMask: mask };
}

function camel(name: string): string {
  return name.replaceAll(/_(\w)/g, (_all, letter: string) => letter.toUpperCase());
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
