/** The options by the path at which parse-server has their types. */
import type { LiveQueryServerOptions, ParseServerOptions } from '../index';

export { LiveQueryServerOptions, ParseServerOptions };

type Any = Record<string, any>;
export type AccountLockoutOptions = Any;
export type AuthAdapter = Any;
export type CustomPagesOptions = Any;
export type DatabaseOptions = Any;
export type EmailVerificationRequest = Any;
export type FileUploadOptions = Any;
export type IdempotencyOptions = Any;
export type LiveQueryOptions = Any;
export type LogLevels = Any;
export type PagesCustomUrlsOptions = Any;
export type PagesOptions = Any;
export type PagesRoute = Any;
export type PasswordPolicyOptions = Any;
export type RateLimitOptions = Any;
export type SchemaOptions = Any;
export type SecurityOptions = Any;
export type SendEmailVerificationRequest = Any;
