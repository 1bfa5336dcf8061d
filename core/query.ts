/**
 * Methods that a `query` record may name. Payload of the record: caller's user id (16), device id
 * (16), then the request in protobuf. The answer is a `result` with the response in protobuf, or an
 * `error`. Numbers travel on Links of mixed versions: never reuse one.
 */
export const QUERY = {
  /** parley.client.v1.ListMessagesRequest → ListMessagesResponse */
  'Messages.List': 1,
  'Messages.ListRows': 2,
  'Messages.ListReceipts': 3,
  /** parley.client.v1.SyncConversationRequest → SyncConversationResponse */
  'Sync.SyncConversation': 4,
  /** parley.client.v1.GetConversationRequest → parley.v1.Conversation */
  'Conversations.Get': 5,
  'Conversations.ListMembers': 6,
  /** parley.broker.v1.*Query → *Answer (link.proto) */
  'Link.Directory': 16,
  'Link.Changed': 17,
  'Link.Views': 18,
  'Link.CatchUp': 19,
  'Link.Members': 20,
  'Link.Fits': 21,
} as const;

export type QueryMethod = keyof typeof QUERY;
export type QueryNumber = (typeof QUERY)[QueryMethod];

export const QUERY_HEADER_BYTES = 32;
