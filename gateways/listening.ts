/** Why a port cannot be listened on, in words that name the setting to change. */
import { ParleyError } from '../core/errors.ts';

export interface ListenFailure {
  /** 'HTTP', 'WebSocket' or 'gRPC'. */
  readonly what: string;
  readonly host: string;
  readonly port: number;
  readonly hostSetting: string;
  readonly portSetting: string;
  /** The system's code, such as EADDRINUSE, or undefined if it is not told. */
  readonly code: string | undefined;
}

const PRIVILEGED_PORTS_BELOW = 1024;

/** Host and port as one word; the colons of an IPv6 address stay apart from the port's. */
export function addressOf(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

export function cannotListen(failure: ListenFailure): ParleyError {
  const { what, host, port } = failure;
  return new ParleyError(
    'BACKEND_UNAVAILABLE',
    `${what} cannot listen on ${addressOf(host, port)}: ${advice(failure)}`,
    { port },
  );
}

function advice({ port, hostSetting, portSetting, code }: ListenFailure): string {
  switch (code) {
    case undefined:
      return `most often another program listens there; stop it, or choose another ${portSetting} (0 = any free one); else check ${hostSetting}`;
    case 'EADDRINUSE':
      return `another program listens there; stop it, or choose another ${portSetting} (0 = any free one)`;
    case 'EACCES':
    case 'EPERM':
      return port < PRIVILEGED_PORTS_BELOW
        ? `ports below ${PRIVILEGED_PORTS_BELOW} are not for this account (${code}); choose a higher ${portSetting}, and put a proxy in front`
        : `the system forbids it (${code}); choose another ${portSetting}`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAFNOSUPPORT':
      return `this machine has no such address (${code}); check ${hostSetting} (127.0.0.1 = this machine alone, 0.0.0.0 = all its addresses)`;
    default:
      return `${code}; check ${hostSetting} and ${portSetting}`;
  }
}
