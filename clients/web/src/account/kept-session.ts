/**
 * The signed-in session of this browser profile. localStorage, because both tabs of a profile must
 * see a refreshed token at once; scripts other than ours cannot run here (CSP, Trusted Types).
 */
import type { SessionStore, StoredSession } from '@parley/sdk/auth';

const SESSION = 'parley.session';
const USERNAME = 'parley.username';

export function keptSessions(): SessionStore {
  return {
    load: async () => readSession(),
    save: async (session) => {
      if (session === undefined) localStorage.removeItem(SESSION);
      else localStorage.setItem(SESSION, JSON.stringify(session));
    },
  };
}

export function readSession(): StoredSession | undefined {
  const text = localStorage.getItem(SESSION);
  if (text === null) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isSession(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Fills the sign-in form after a session ended. */
export function readUsername(): string | undefined {
  return localStorage.getItem(USERNAME) ?? undefined;
}

export function keepUsername(username: string | undefined): void {
  if (username === undefined) localStorage.removeItem(USERNAME);
  else localStorage.setItem(USERNAME, username);
}

function isSession(value: unknown): value is StoredSession {
  return (
    typeof value === 'object' &&
    value !== null &&
    'refreshToken' in value &&
    'userId' in value &&
    'deviceId' in value
  );
}
