// Made by `parsimony types` from the classes of the server. Changes here are lost.

#nullable enable

using System;
using System.Collections.Generic;
using Parse;

namespace ParseClasses;

[ParseClassName("Game")]
public class Game : ParseObject
{
    [ParseFieldName("area")]
    public object? Area
    {
        get => GetProperty<object?>(null, nameof(Area));
        set => SetProperty(value, nameof(Area));
    }

    [ParseFieldName("at")]
    public DateTime? At
    {
        get => GetProperty<DateTime?>(null, nameof(At));
        set => SetProperty(value, nameof(At));
    }

    [ParseFieldName("class")]
    public string? Class
    {
        get => GetProperty<string?>(null, nameof(Class));
        set => SetProperty(value, nameof(Class));
    }

    [ParseFieldName("done")]
    public bool? Done
    {
        get => GetProperty<bool?>(null, nameof(Done));
        set => SetProperty(value, nameof(Done));
    }

    [ParseFieldName("extra")]
    public IDictionary<string, object>? Extra
    {
        get => GetProperty<IDictionary<string, object>?>(null, nameof(Extra));
        set => SetProperty(value, nameof(Extra));
    }

    [ParseFieldName("fans")]
    public ParseRelation<User> Fans => GetRelationProperty<User>(nameof(Fans));

    [ParseFieldName("icon")]
    public ParseFile? Icon
    {
        get => GetProperty<ParseFile?>(null, nameof(Icon));
        set => SetProperty(value, nameof(Icon));
    }

    [ParseFieldName("owner")]
    public User? Owner
    {
        get => GetProperty<User?>(null, nameof(Owner));
        set => SetProperty(value, nameof(Owner));
    }

    [ParseFieldName("place")]
    public ParseGeoPoint? Place
    {
        get => GetProperty<ParseGeoPoint?>(null, nameof(Place));
        set => SetProperty(value, nameof(Place));
    }

    [ParseFieldName("raw")]
    public byte[]? Raw
    {
        get => GetProperty<byte[]?>(null, nameof(Raw));
        set => SetProperty(value, nameof(Raw));
    }

    [ParseFieldName("rival")]
    public ParseObject? Rival
    {
        get => GetProperty<ParseObject?>(null, nameof(Rival));
        set => SetProperty(value, nameof(Rival));
    }

    [ParseFieldName("score")]
    public double? Score
    {
        get => GetProperty<double?>(null, nameof(Score));
        set => SetProperty(value, nameof(Score));
    }

    [ParseFieldName("tags")]
    public IList<object>? Tags
    {
        get => GetProperty<IList<object>?>(null, nameof(Tags));
        set => SetProperty(value, nameof(Tags));
    }

    /// <summary>Required.</summary>
    [ParseFieldName("title")]
    public string? Title
    {
        get => GetProperty<string?>(null, nameof(Title));
        set => SetProperty(value, nameof(Title));
    }
}

[ParseClassName("_User")]
public class User : ParseUser
{
    [ParseFieldName("emailVerified")]
    public bool? EmailVerified
    {
        get => GetProperty<bool?>(null, nameof(EmailVerified));
        set => SetProperty(value, nameof(EmailVerified));
    }
}

/// <summary>Cloud functions of the server.</summary>
public static class CloudFunctions
{
    public const string Hello = "hello";
    public const string Pay_now = "pay.now";
}
