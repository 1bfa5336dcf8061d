/** What a reason means to a person, and what to do. */

const SENTENCES: Readonly<Record<string, string>> = {
  LOGIN_FAILED: 'That name and password do not belong together.',
  USERNAME_TAKEN: 'This name is taken. If it is yours, sign in instead.',
  WEAK_PASSWORD: 'Choose a password of 8 to 128 characters that is harder to guess.',
  SIGNUP_CLOSED: 'This server takes new people by invitation only.',
  RATE_LIMITED: 'Too many tries. Wait a minute, then try again.',
  OVERLOADED: 'The server is busy. Try again in a moment.',
  BACKEND_UNAVAILABLE: 'The server cannot be reached. Try again in a moment.',
  SESSION_REVOKED: 'This device was signed out.',
  REFRESH_REUSED: 'This sign-in has ended. Sign in again.',
  TOKEN_EXPIRED: 'This sign-in has ended. Sign in again.',
  TOKEN_INVALID: 'This sign-in has ended. Sign in again.',
  DEVICE_UNKNOWN: 'This device was removed. Sign in again.',
  ACCOUNT_SUSPENDED: 'This account is suspended.',
  BAD_FIELD: 'One of the fields cannot be used as it is.',
  BAD_TEXT: 'This text cannot be sent as it is: it is empty or too long.',
  PAYLOAD_TOO_LARGE: 'This is too large to send.',
  NOT_A_MEMBER: 'You are no longer in this conversation.',
  CONVERSATION_UNKNOWN: 'This conversation does not exist.',
  CONVERSATION_CLOSED: 'This group is closed.',
  ROLE_REQUIRED: 'Your role does not allow this.',
  BLOCKED: 'Messages between the two of you are blocked.',
  GROUP_FULL: 'This group is full.',
  LAST_OWNER: 'A group needs an owner: make someone else one first.',
  USER_UNKNOWN: 'This person does not exist.',
  MESSAGE_UNKNOWN: 'This message is not loaded here. Scroll back to it, then try again.',
  TARGET_DELETED: 'The message was deleted meanwhile.',
  EDIT_WINDOW_PASSED: 'Too late to edit this message.',
  DEADLINE: 'Not delivered within a day.',
  CANCELED: 'Cancelled.',
  COMMIT_UNKNOWN: 'It may have been sent: nobody can tell any more.',
  FEATURE_DISABLED: 'This is switched off on this server.',
};

const OTHERWISE = 'That did not work. Try again.';

export function sentenceOf(reason: string | undefined): string {
  return (reason !== undefined && SENTENCES[reason]) || OTHERWISE;
}

/** The reason an error carries; none = the network. */
export function reasonOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('reason' in error)) return undefined;
  return typeof error.reason === 'string' ? error.reason : undefined;
}
